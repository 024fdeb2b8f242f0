"""How the verbs print: aligned columns, JSON, ages, and colours where a person is looking."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

_COLOURS = (36, 33, 32, 35, 34, 31)
"""Codes of ECMA-48's SGR, in the order containers get them."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def print_json(value: Any) -> None:
    """``value`` as JSON on standard output, for people and for jq alike."""
    print(json.dumps(value, indent=2))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows on standard output; columns as wide as they need, never cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def age(seconds: float) -> str:
    """A span of time in its largest whole unit: ``42s``, ``3m``, ``5h``, ``2d``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "0s"


def coloured(text: str, number: int) -> str:
    """``text`` in a colour of its own, if standard output is a terminal that shows colours."""
    return _styled(text, _COLOURS[number % len(_COLOURS)])


def dim(text: str) -> str:
    """``text`` in the background, where ``coloured`` would colour."""
    return _styled(text, 2)


def _styled(text: str, code: int) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
