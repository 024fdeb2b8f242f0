"""The Python that the package is for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deb import BuildError, interpreter


def fake(folder: Path, version: str) -> Path:
    """What passes for a Python of that version."""
    path = folder / f"python-{version.replace(' ', '.')}"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    candidates = [tmp_path / "missing", fake(tmp_path, "3 10"), fake(tmp_path, "3 11")]
    found = interpreter.find([*candidates, fake(tmp_path, "3 13")])
    assert (found.path, found.name) == (candidates[2], "python3.11")


def test_a_real_one_tells_its_version() -> None:
    found = interpreter.find([Path(sys.executable)])
    assert (found.major, found.minor) == sys.version_info[:2]


def test_none_is_new_enough(tmp_path: Path) -> None:
    old, broken = fake(tmp_path, "3 10"), tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(BuildError) as told:
        interpreter.find([old, broken])
    assert f"{old} is 3.10, {broken} is missing" in str(told.value)
    assert "install python3.11, or name one with --python" in str(told.value)
