"""``python -m deb [--output DIR] [--python PATH]``: prints where the package is."""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path

from deb import ROOT, BuildError, archive, environment, interpreter, payload

MIB = 1024


def main() -> int:
    """Builds it; 1 if that can't be done."""
    asked = _arguments()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    try:
        package = _build(asked, version)
    except BuildError as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    print(package)
    return 0


def _build(asked: argparse.Namespace, version: str) -> Path:
    python = interpreter.find([asked.python] if asked.python else interpreter.SYSTEMS)
    epoch = archive.set_epoch(ROOT)
    with tempfile.TemporaryDirectory(prefix="hostler-deb-") as scratch:
        work, stage = Path(scratch) / "work", Path(scratch) / "stage"
        work.mkdir()
        site = environment.make(stage, work, python)
        payload.place(stage, site, version, epoch)
        _tell(site, stage)
        return archive.write(stage, site, python, version, asked.output.absolute())


def _tell(site: Path, stage: Path) -> None:
    """What takes how much."""
    for name, size in environment.sizes(site)[:12]:
        print(f"{size / 1e6:7.1f} MB  {name}", file=sys.stderr)
    print(f"{archive.installed_kib(stage) * MIB / 1e6:7.1f} MB  installed", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev deb", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("--python", type=Path, metavar="PATH", help="the Python that it is for")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
