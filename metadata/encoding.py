"""JSON as all routes write it: what is left out, how times look, how bytes come about.

Pure.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from metadata.source import Instant

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | None"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encoded(value: Json) -> bytes:
    """The JSON text, without white space."""
    return json.dumps(value, separators=(",", ":")).encode()


def present(members: Mapping[str, Json]) -> dict[str, Json]:
    """The members that have a value: None means that the key is left out."""
    return {key: value for key, value in members.items() if value is not None}


def time_text(instant: Instant) -> str:
    """RFC 3339 in UTC, ending in `Z`, to the nanosecond, trailing zeros trimmed."""
    seconds, nanoseconds = divmod(instant, 1_000_000_000)
    whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    return f"{whole}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"


def optional_time(instant: Instant | None) -> str | None:
    """As `time_text`, None for what hasn't happened."""
    return None if instant is None else time_text(instant)
