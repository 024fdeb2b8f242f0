"""docs/configuration.md as values: every setting with its section, default, values and meaning.

A test holds that page against the agent's own table, so nothing here can tell otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from deb import ROOT, BuildError

PAGE = ROOT / "docs" / "configuration.md"

_COLUMNS = 4
_ROW = re.compile(r"\| `([A-Z][A-Z0-9_]+)` \| (.+) \|")


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the page; all but ``name`` are Markdown. ``default`` is "" where there is none."""

    section: str
    name: str
    default: str
    values: str
    meaning: str


def read(page: str) -> Iterator[Setting]:
    """The settings of the page, in its order. Raises BuildError if it has none."""
    section, found = "", False
    for line in page.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        row = _ROW.fullmatch(line)
        cells = row[2].split(" | ") if row else []
        if row is None or len(cells) != _COLUMNS - 1:
            continue
        default = "" if cells[0] == "none" else cells[0].strip("`")
        found = True
        yield Setting(section, row[1], default, cells[1], cells[2])
    if not found:
        raise BuildError(f"{PAGE} has no table of settings any more")


def commented(page: str) -> str:
    """/etc/hostler/hostler.config: every setting with its default, all of it comments."""
    lines, section = [*_HEAD], ""
    for each in read(page):
        if each.section != section:
            section = each.section
            lines += ["", "", f"## {section}"]
        said = f"{each.meaning} ({each.values})".replace("`", "")
        lines += ["", *_wrapped(said), f"#{each.name}={each.default}"]
    return "\n".join(lines) + "\n"


_HEAD = (
    "# Settings of Hostler, each with its default: see hostler.config(5).",
    "#",
    "# 'hostler config' shows what is in force and why, 'hostler agent --check' what is wrong,",
    "# 'systemctl reload hostler' puts changes into force; tasks run on.",
    "#",
    "# This file can be read by everybody: keep secrets elsewhere, or give it to root alone.",
)


def _wrapped(text: str, width: int = 96) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            yield line
            line = "#"
        line += f" {word}"
    yield line
