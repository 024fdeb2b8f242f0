"""Hostler installed by pip from a clone: nothing that it needs is only in the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from agent import VERSION
from tests.machines.outside import outside
from tests.system.agent import ROOT

pytestmark = pytest.mark.timeout(600)

TOPS = ("agent", "cni", "metadata")


def output(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints, which must succeed."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
    return ran.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are the project's, as a clone has them."""
    target = tmp_path_factory.mktemp("clone")
    for name in output("git", "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet")
    output(*outside(), *pip, "wheel", "--no-deps", "--wheel-dir", folder, clone)
    (found,) = folder.glob("hostler-*.whl")
    return found


def test_the_wheel_has_every_module_and_says_that_it_is_typed(clone: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(each.relative_to(clone)) for top in TOPS for each in (clone / top).rglob("*.py")}
    assert sources <= names
    assert {f"{top}/py.typed" for top in TOPS} <= names
    assert "agent/containerd/pb/tasks_pb2.py" in names
    strange = {each.split("/")[0] for each in names} - {*TOPS, f"hostler-{VERSION}.dist-info"}
    assert not strange
    assert not [each for each in names if each.endswith(".proto")]


def test_the_installed_command_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    output(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    output(
        *(sys.executable, "-m", "pip", "--quiet", "--python", python),
        *("install", "--no-deps", "--no-index", wheel),
    )
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(output(python, "-c", asked).strip())
    # What it depends on is what the tests run with.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import agent, cni, metadata; print(agent.__file__, cni.__file__, metadata.__file__)"
    for each in output(python, "-c", where, cwd=tmp_path).split():
        assert Path(each).is_relative_to(site)
    command = environment / "bin/hostler"
    assert output(command, "version", cwd=tmp_path) == f"hostler {VERSION}\n"
    assert output(command, "agent", "--check", cwd=tmp_path) == "the settings can be used\n"
