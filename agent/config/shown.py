"""The value of a setting as text that its parser reads as the same value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_GIB = 2**30
_UNITS = (("h", 3600.0), ("m", 60.0), ("s", 1.0))


def shown(value: object) -> str:
    """The text; "" for what is not set."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return lasting(value)
        case int() if value and value % _GIB == 0:
            return f"{value // _GIB}g"
        case Mapping():
            return json.dumps(dict(value)) if value else ""
        case frozenset():
            return ",".join(sorted(map(str, value)))
        case tuple():
            return _joined(value)
        case _:
            return str(value)


def lasting(seconds: float) -> str:
    """A time in Go's syntax: ``3h``, ``1m30s``, ``500ms``."""
    if seconds != int(seconds):
        return f"{seconds * 1000:g}ms" if seconds < 60 else f"{seconds:f}s"
    parts, left = [], float(seconds)
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{int(count)}{unit}")
    return "".join(parts) or "0"


def _joined(value: tuple[Any, ...]) -> str:
    match value:
        case (Path(), *_):
            return ":".join(map(str, value))
        case (str() as host, int() as port):  # where to listen
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case (int() as low, int() as high):  # ports
            return f"{low}-{high}"
        case (float() as rate, int() as burst):
            return f"{rate:g},{burst}"
        case _:
            return ",".join(
                "-".join(map(str, e)) if isinstance(e, tuple) else str(e) for e in value
            )
