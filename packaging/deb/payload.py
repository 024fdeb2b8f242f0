"""What the package installs beside the virtual environment."""

from __future__ import annotations

import email.parser
import gzip
import shutil
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

from deb import NAME, PREFIX, ROOT, TEMPLATES, BuildError, completion, manual, settings

MAINTAINER = "Hostler's authors <hostler@hostler.invalid>"

CONFIG = Path("etc/hostler/hostler.config")

_DOC = Path("usr/share/doc") / NAME
_SHARE = Path("usr/share") / NAME
_LINE = 76


def place(stage: Path, site: Path, version: str, epoch: int) -> None:
    """All of it is below ``stage``. Raises BuildError."""
    _write(stage / CONFIG, settings.commented(settings.PAGE.read_text()))
    (stage / "usr/bin").mkdir(parents=True)
    (stage / "usr/bin" / NAME).symlink_to(f"/{PREFIX}/bin/{NAME}")
    _units(stage)
    shutil.copytree(ROOT / "examples", stage / _SHARE / "examples")
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    for name, text in manual.pages(version, date, settings.PAGE.read_text()).items():
        section = name[-1]
        _write_gz(stage / f"usr/share/man/man{section}" / f"{name}.gz", text)
    for where, text in completion.scripts().items():
        _write(stage / where, text)
    _write(stage / _DOC / "copyright", _copyright(site))
    _write_gz(stage / _DOC / "changelog.gz", changelog(version, epoch))
    _write(
        stage / "usr/share/lintian/overrides" / NAME, (TEMPLATES / "lintian-overrides").read_text()
    )


def _units(stage: Path) -> None:
    """By its kind, everything in ``systemd/``."""
    for source in sorted((ROOT / "systemd").rglob("*")):
        if source.is_dir():
            continue
        target = stage / _unit_place(source.relative_to(ROOT / "systemd"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _unit_place(unit: Path) -> Path:
    if unit.parts[0] in ("sysusers.d", "tmpfiles.d"):
        return Path("usr/lib") / unit
    if unit.suffix in (".service", ".socket", ".slice", ".target", ".timer"):
        return Path("lib/systemd/system") / unit
    if unit.parts[0] in ("hardened", "newer"):  # for whoever wants them, see docs/service.md
        return _SHARE / "systemd" / unit
    raise BuildError(f"systemd/{unit}: the package has no place for a file of this kind")


def changelog(version: str, epoch: int) -> str:
    """The newest section of CHANGELOG.md as Debian's tools read it (deb-changelog(5))."""
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")]
    if not starts:
        raise BuildError("CHANGELOG.md has no section")
    section = lines[starts[0] + 1 : [*starts, len(lines)][1]]
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(epoch))
    return "\n".join(
        [
            *(f"{NAME} ({version}) unstable; urgency=medium", ""),
            *_points(section),
            *("", f" -- {MAINTAINER}  {date}", ""),
        ]
    )


def _points(section: list[str]) -> Iterator[str]:
    """The section's points, without its headings."""
    points: list[str] = []
    for line in section:
        if line.startswith("- "):
            points.append(line[2:])
        elif line.startswith("  "):
            points[-1] += f" {line.strip()}"
    for each in points:
        yield from textwrap.wrap(
            each,
            _LINE,
            initial_indent="  * ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _copyright(site: Path) -> str:
    packages = "".join(f"  {each}\n" for each in _bundled(site))
    return (TEMPLATES / "copyright").read_text().replace("@PACKAGES@\n", packages)


def _bundled(site: Path) -> Iterator[str]:
    """Every Python package in it but ours, with its licence and where that is written."""
    for info in sorted(site.glob("*.dist-info")):
        parsed = email.parser.Parser().parsestr((info / "METADATA").read_text())
        if parsed["Name"] == NAME:
            continue
        licence = parsed["License-Expression"] or _classified(parsed.get_all("Classifier", []))
        texts = sorted(each for each in info.rglob("*") if each.name.upper().startswith("LICEN"))
        where = f"/{PREFIX}/{texts[0].relative_to(site.parents[2])}" if texts else "in its METADATA"
        yield f"{parsed['Name']} {parsed['Version']}: {licence or parsed['License']}\n    {where}"


def _classified(classifiers: list[str]) -> str:
    """The licences among the classifiers (a package index's words)."""
    licences = [each.rsplit(" :: ", 1)[1] for each in classifiers if each.startswith("License ::")]
    return ", ".join(licences)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_gz(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
