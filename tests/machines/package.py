"""Hostler's package, as ``./dev deb`` makes it of this checkout: once for all tests of a run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import outside
from tests.machines.kept import kept

ROOT = Path(__file__).parents[2]
BUILD_S = 900.0
"""Half a minute when nothing else is going on, and all wheels are there."""

needed = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None or shutil.which("strip") is None,
    reason="needs dpkg and strip (Debian and Ubuntu: dpkg, binutils)",
)

_MADE_FROM = (
    *("agent", "cni", "metadata", "packaging", "systemd", "examples", "docs/configuration.md"),
    *("pyproject.toml", "constraints.txt", "CHANGELOG.md", "README.md", "LICENSE"),
)


def built() -> Path:
    """The package; kept while what it is made from stays the same.

    Made by the Python that runs the tests: ``./dev`` might renew its environment under them. Raises
    RuntimeError with what was said, or TimeoutError.
    """
    folder = kept("package", _recipe(), _build)
    (package,) = folder.glob("*.deb")
    return package


def renamed(package: Path, version: str, to: Path) -> Path:
    """The same package as if it were of that version, in the directory ``to``."""
    before = field(package, "Version")
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work) / "stage"
        _dpkg_deb("--raw-extract", package, stage)
        for name in ("control", "preinst"):
            file = stage / "DEBIAN" / name
            text = file.read_text()
            assert before in text
            file.write_text(text.replace(before, version))
        target = to / f"hostler_{version}_{field(package, 'Architecture')}.deb"
        _dpkg_deb("--root-owner-group", "-Znone", "--build", stage, target)
    return target


def field(package: Path, name: str) -> str:
    """What its control file says."""
    return _dpkg_deb("--field", package, name).strip()


def _dpkg_deb(*words: str | Path) -> str:
    command = ["dpkg-deb", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=BUILD_S
    ).stdout


def _recipe() -> str:
    """Everything that the package depends on, this host's Python included."""
    seen = [sys.version, *(f"{each.relative_to(ROOT)} {_digest(each)}" for each in _files())]
    return "\n".join(seen)


def _files() -> Iterator[Path]:
    for name in _MADE_FROM:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _build(folder: Path, lock: int) -> None:
    outside.make(
        [sys.executable, "-m", "deb", "--output", str(folder)],
        lock,
        BUILD_S,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "packaging")},
    )
