"""An agent whose disk is full, and one whose containerd is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.cli.errors import CommandError
from agent.cli.trial import private_settings
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.tasks import DEADLINE_S, SERVES, run, shell


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size, mounted on ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not one byte is free on the file system meanwhile."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


def test_a_task_that_cant_be_kept_is_not_accepted(tmp_path: Path) -> None:
    with (
        disk(tmp_path / "state", "48m") as state,
        running_agent(HOSTLER_STATE_DIR=str(state)) as agent,
    ):
        task = run(agent, shell("app", SERVES))
        task.until_running()
        with filled(state):
            refused = _refusal(agent)
        assert "disk" in refused or "full" in refused, refused
        assert agent.call("ListTasks")["taskArns"] == [task.arn]
        run(agent, shell("app", "echo works")).until_closed()
        task.end()
        assert task.leftovers() == []


def _refusal(agent: Agent) -> str:
    """What the agent says to the first of many tasks that it can't keep."""
    for _ in range(200):  # the state's file may have had room for some
        try:
            agent.call("RunTask", taskDefinition="test")
        except CommandError as refused:
            return str(refused)
    return ""


def test_without_containerd_the_agent_says_so_and_ends(tmp_path: Path) -> None:
    settings = private_settings(tmp_path) | {"HOSTLER_CONTAINERD": str(tmp_path / "no.sock")}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, "-m", "agent", "agent", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "no.sock" in done.stderr
    assert "Traceback" not in done.stderr
    left = Agent(tmp_path, settings)
    assert left.left_behind() == []
