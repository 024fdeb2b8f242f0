"""The process that becomes a containerd for Hostler alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agent.containerd.__main__ import main

ROOT = Path(__file__).parents[3]
PROGRAM = """#!{python}
import json, os, sys
print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)]))
"""


def run(root: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.containerd"]
    options = ["--root", str(root / "root"), "--state", str(root / "state")]
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30
    )


def test_it_becomes_containerd_with_its_own_folders_and_little_of_the_environment(
    tmp_path: Path,
) -> None:
    program = tmp_path / "containerd"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    ran = run(tmp_path, PATH=str(tmp_path), NOTIFY_SOCKET="/run/n", AWS_SECRET_ACCESS_KEY="no")
    _, arguments, environ = json.loads(ran.stdout)
    file = tmp_path / "state/config.toml"
    assert arguments == ["--config", str(file)]
    assert {name: environ.get(name) for name in ("PATH", "NOTIFY_SOCKET")} == {
        "PATH": str(tmp_path),
        "NOTIFY_SOCKET": "/run/n",
    }
    assert "AWS_SECRET_ACCESS_KEY" not in environ
    config = tomllib.loads(file.read_text())
    assert config["root"] == str(tmp_path / "root")
    assert config["grpc"] == {"address": str(tmp_path / "state/containerd.sock")}


def test_without_containerd_it_says_what_to_install(tmp_path: Path) -> None:
    ran = run(tmp_path, PATH=str(tmp_path))
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert "there is no containerd on PATH: install the package containerd" in ran.stderr


def test_a_folder_that_cant_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "containerd"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "file").touch()
    assert main(["--root", str(tmp_path / "file/root"), "--state", str(tmp_path / "state")]) == 1
    assert f"Not a directory: '{tmp_path / 'file'}" in capsys.readouterr().err
