"""Spans of time as people type them: ``90s``, ``10m``, ``2h``, ``3d``."""

from __future__ import annotations

import re

_SPAN = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> int | None:
    """The span in seconds; None if it is none."""
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None
