"""What imports cost, from what Python says of them with ``-X importtime``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.report import table

PROFILED = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Has Python tell of each import on standard error."""

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| +(\S+)$")
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Import:
    """A module: microseconds that its own code took, and with all that it imported itself."""

    name: str
    own_us: int
    all_us: int


def read(lines: Iterable[str]) -> list[Import]:
    """The imports among the lines, in their order; others are passed over."""
    found = [_LINE.match(line) for line in lines]
    return [Import(each[3], int(each[1]), int(each[2])) for each in found if each is not None]


def tables(imports: Sequence[Import]) -> str:
    """By package, all its modules' own time; then the modules with the most of their own."""
    packages: dict[str, list[int]] = {}
    for each in imports:
        packages.setdefault(each.name.partition(".")[0], []).append(each.own_us)
    dearest = sorted(packages.items(), key=lambda item: sum(item[1]), reverse=True)
    rows = [(name, str(len(own)), _ms(sum(own))) for name, own in dearest[:_SHOWN]]
    rows.append(("all", str(len(imports)), _ms(sum(each.own_us for each in imports))))
    modules = sorted(imports, key=lambda each: each.own_us, reverse=True)[:_SHOWN]
    return "\n\n".join(
        (
            table(("package", "modules", "ms"), rows),
            table(
                ("module", "own, ms", "with its imports, ms"),
                [(each.name, _ms(each.own_us), _ms(each.all_us)) for each in modules],
            ),
        )
    )


def _ms(us: int) -> str:
    return f"{us / 1000:.1f}"
