"""All shell scripts are valid, and shellcheck has nothing to say of them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST_LINE = re.compile(rb"#!(/usr/bin/env |/bin/)(?P<shell>sh|bash)\n")


def _scripts() -> Iterator[Path]:
    for directory, inner, files in os.walk(ROOT):
        inner[:] = [each for each in inner if not each.startswith(".") or each == ".ci"]
        for name in files:
            path = Path(directory, name)
            if path.is_file() and FIRST_LINE.match(_beginning(path)):
                yield path


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(40)


SCRIPTS = {str(path.relative_to(ROOT)): path for path in sorted(_scripts())}


def test_all_are_found() -> None:
    assert {"dev", ".ci/run", "vagrant/provision.sh", "vagrant/lab/lab.sh"} <= SCRIPTS.keys()


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_shell_can_read_it(script: Path) -> None:
    shell = FIRST_LINE.match(_beginning(script))
    assert shell is not None
    ran = subprocess.run(
        [shell["shell"], "-n", script], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    if shutil.which("shellcheck") is None and not os.environ.get("CI"):
        pytest.skip("shellcheck is not installed")
    ran = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.fail(ran.stdout + ran.stderr, pytrace=False)
