"""What a section of the roles file may say: three kinds, each with keys of its own."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metadata.credentials.keys import CredentialsError


class _Section(BaseModel):
    # What is wrong with a value is told without the value: it may be a secret.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class StaticSection(_Section):
    """Keys as they are. Without `expiration` they hold until somebody changes them."""

    aws_access_key_id: str = Field(min_length=1)
    aws_secret_access_key: str = Field(min_length=1, repr=False)
    aws_session_token: str = Field(default="", repr=False)
    expiration: datetime | None = None

    @property
    def expires_at(self) -> float | None:
        """Seconds since the epoch; a time without a zone is UTC."""
        if self.expiration is None:
            return None
        zoned = self.expiration.tzinfo is not None
        return (self.expiration if zoned else self.expiration.replace(tzinfo=UTC)).timestamp()


class ProcessSection(_Section):
    """A program that prints credentials."""

    credential_process: str = Field(min_length=1)


class StsSection(_Section):
    """A role that is assumed with the host's own credentials."""

    source: Literal["sts"]
    role_arn: str = ""
    duration_seconds: int | None = Field(default=None, ge=900, le=43200)
    external_id: str = ""
    region: str = ""
    endpoint_url: str = ""


Section = StaticSection | ProcessSection | StsSection

_KINDS: tuple[tuple[str, type[Section]], ...] = (
    ("source", StsSection),
    ("credential_process", ProcessSection),
    ("aws_access_key_id", StaticSection),
    ("aws_secret_access_key", StaticSection),
)
_KEY = re.compile(r"[a-z_-]{1,24}")
_KNOWN = {name for _, kind in _KINDS for name in kind.model_fields}


def read_section(where: str, said: Mapping[str, str]) -> Section:
    """The section called `where`. Raises CredentialsError, naming section and key."""
    for mark, kind in _KINDS:
        if mark in said:
            try:
                return kind.model_validate(dict(said))
            except ValidationError as error:
                raise CredentialsError(f"{where}: {_wrong(error, mark)}") from None
    strange = sorted(set(said) - _KNOWN)
    if strange:
        raise CredentialsError(f"{where}: {_unknown(strange[0])}")
    raise CredentialsError(
        f"{where} says no source of credentials: give aws_access_key_id and "
        "aws_secret_access_key, or credential_process, or source = sts"
    )


def _wrong(error: ValidationError, mark: str) -> str:
    """What is wrong first; a key too many before one too few, as it may be that one misspelt."""
    errors = error.errors(include_input=False, include_url=False)
    first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
    key = str(first["loc"][0])
    if first["type"] == "missing":
        return f"{key} is missing beside {mark}"
    if first["type"] != "extra_forbidden":
        return f"{key}: {first['msg']}"
    return f"{key} does not go with {mark}" if key in _KNOWN else _unknown(key)


def told_key(key: str) -> str:
    """The key, if it may be one that is misspelt: else it may be a part of a secret."""
    return key if _KEY.fullmatch(key) else "(not shown: it may be part of a secret)"


def _unknown(key: str) -> str:
    return f"unknown key {told_key(key)}; there are {', '.join(sorted(_KNOWN))}"
