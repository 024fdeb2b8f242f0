"""The bodies of requests: what may be in them, as pydantic models. Names are ECS's.

Strict: a text is no number. But names may come in any case, as whoever wrote for ECS's agent could
have them: Go's decoder doesn't mind. The errors of `parsed` are for people, and name what is wrong.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_pascal

Network: TypeAlias = IPv4Network | IPv6Network

LONGEST_MS: Final = 270_000
"""What one packet can be held up for: the kernel counts in 32 bits of 64 ns."""

MOST_NETWORKS: Final = 256
"""Each is a command to the kernel, and an answer must come soon."""

_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", re.ASCII)


class BodyError(Exception):
    """A body is not what it must be; the text says in what."""


def _network(value: object) -> Network:
    if not isinstance(value, str) or _ADDRESS.fullmatch(value) is None:
        raise ValueError("must be an address or a network such as 10.0.0.0/8")
    return ip_network(value, strict=False)


def _items(value: object) -> object:
    """JSON's arrays, as the tuples of the models; null is as good as nothing."""
    return () if value is None else tuple(value) if isinstance(value, list) else value


_Networks = Annotated[
    tuple[Annotated[Network, PlainValidator(_network)], ...],
    FailFast(),  # an error for each of thousands would take long to tell
    Field(max_length=MOST_NETWORKS),
    BeforeValidator(_items),
]
_Flows = Annotated[int, Field(ge=1, le=100), BeforeValidator(lambda n: 100 if n is None else n)]
_Milliseconds = Annotated[int, Field(ge=0, le=LONGEST_MS)]


class _Body(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", alias_generator=to_pascal, validate_by_name=False
    )

    @model_validator(mode="before")
    @classmethod
    def _spelt(cls, value: object) -> object:
        """The members under the names that the model knows them by."""
        if not isinstance(value, dict):
            return value
        known = {to_pascal(each).casefold(): to_pascal(each) for each in cls.model_fields}
        return {known.get(name.casefold(), name): member for name, member in value.items()}


class ProtectionBody(_Body):
    """Of task protection: the one body in which unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")

    protection_enabled: bool
    expires_in_minutes: int | None = None


class BlackholeBody(_Body):
    """Of `network-blackhole-port`, for all three operations."""

    port: int = Field(ge=0, le=65535)
    protocol: Literal["tcp", "udp"]
    traffic_type: Literal["ingress", "egress"]
    sources_to_filter: _Networks = ()


class _ShapingBody(_Body):
    sources: _Networks = Field(min_length=1)
    sources_to_filter: _Networks = ()
    flows_percent: _Flows = 100


class LatencyBody(_ShapingBody):
    """Of the start of `network-latency`."""

    delay_milliseconds: _Milliseconds
    jitter_milliseconds: _Milliseconds

    @model_validator(mode="after")
    def _some(self) -> "LatencyBody":
        if self.delay_milliseconds == self.jitter_milliseconds == 0:
            raise ValueError("DelayMilliseconds and JitterMilliseconds must not both be 0")
        return self


class LossBody(_ShapingBody):
    """Of the start of `network-packet-loss`."""

    loss_percent: int = Field(ge=1, le=100)


_B = TypeVar("_B", bound=_Body)


def parsed(model: type[_B], text: bytes) -> _B:
    """The body. Raises BodyError."""
    if not text.strip():
        raise BodyError("the request has no body")
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(_told(each["loc"], each["msg"]) for each in error.errors())
        raise BodyError(problems) from None


def _told(where: tuple[int | str, ...], what: str) -> str:
    path = ".".join(map(str, where))
    return f"{path}: {what}" if path else what
