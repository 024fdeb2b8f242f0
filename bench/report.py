"""The outcome of a benchmark: tables for people, figures and ratios for programs. Pure but for
``conditions``, which says on what machine and when it was measured."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.summary import Summary


@dataclass(slots=True)
class Report:
    """Filled while measuring.

    ``targets`` are the limits of ratios and figures, by name; ``least`` of those in which more is
    better.
    """

    targets: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    sections: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Everything for the terminal."""
        return "\n\n".join([f"bench {name}", *self.sections, self._verdicts()])

    def json(self) -> str:
        """``{"figures": {name: value}, "ratios": {name: value}}``."""
        rounded = {
            kind: {name: round(value, 4) for name, value in values.items()}
            for kind, values in (("figures", self.figures), ("ratios", self.ratios))
        }
        return json.dumps(rounded, indent=1) + "\n"

    def _verdicts(self) -> str:
        found = {**self.ratios, **self.figures}
        wanted = [
            name
            for name in found
            if name in self.ratios or name in self.targets or name in self.least
        ]
        rows = [(name, f"{found[name]:.2f}", *self._verdict(name, found[name])) for name in wanted]
        return table(("ratio or figure", "value", "target", ""), rows)

    def _verdict(self, name: str, value: float) -> tuple[str, str]:
        if name in self.least:
            limit = self.least[name]
            missed = f"missed by {1 - value / limit:.0%}"
            return f">= {limit:g}", "met" if value >= limit else missed
        if name not in self.targets:
            return "", ""
        limit = self.targets[name]
        missed = f"missed by {value / limit - 1:.0%}" if limit else "missed"
        return f"<= {limit:g}", "met" if value <= limit else missed


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with a width each: the first to the left, the others to the right."""
    widths = [max(len(row[n]) for row in (headings, *rows)) for n in range(len(headings))]
    lines = []
    for row in (headings, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def spread(found: Summary, digits: int = 0) -> str:
    """A summary in milliseconds from one in seconds: median, quartiles and minimum."""
    least, p25, median, p75 = (
        each * 1000 for each in (found.least, found.p25, found.median, found.p75)
    )
    return f"{median:.{digits}f} ({p25:.{digits}f}-{p75:.{digits}f}, min {least:.{digits}f})"


def conditions(rounds: int, versions: Mapping[str, str]) -> str:
    """When, on what, and how busy: one line; what was measured: another."""
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    kernel = os.uname().release
    machine = f"{date}, {os.cpu_count()} CPUs, kernel {kernel}, load {load}, {rounds} rounds"
    return f"{machine}\n" + ", ".join(f"{name} {version}" for name, version in versions.items())
