"""The base of every ECS structure: names as the API spells them, types as strict as the API's.

Used by ``container`` and ``task``. A structure only says which fields there are and of which type;
limits that need a number or a second field are rules (``container_rules``, ``task_rules``).
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# The API's Integer has 32 bits; a NUL can be in no argument, variable or path of Linux.
Text = Annotated[str, Field(strict=True, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, Field(strict=True, ge=-(2**31), le=2**31 - 1)]
Flag = Annotated[bool, Field(strict=True)]
Texts = tuple[Text, ...]
TextMap = dict[Text, Text]


class Shape(BaseModel):
    """Frozen; camelCase in JSON, snake_case in Python; an unknown field is an error of its own."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True
    )
