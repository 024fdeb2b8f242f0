"""An agent whose disk is full, and one whose containerd is not there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from agent.cli.errors import CommandError
from agent.cli.trial import private_settings
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.tasks import DEADLINE_S, SERVES, WAITS, eventually, run, shell


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size, mounted on ``folder``."""
    folder.mkdir(parents=True)
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


def test_tasks_live_on_while_the_state_store_is_full(tmp_path: Path) -> None:
    with (
        disk(tmp_path / "state", "48m") as state,
        running_agent(HOSTLER_STATE_DIR=str(state)) as agent,
    ):
        serving = run(agent, shell("app", SERVES))
        ending = run(agent, shell("app", f"trap 'exit 7' TERM; echo up; {WAITS}"))
        for each in (serving, ending):
            each.until_running()
            each.until_log("app")
        pids = [each.pid("app") for each in (serving, ending)]
        agent.call("RegisterTaskDefinition", **ANOTHER)
        start = len(agent.said())
        with filled(state):
            assert "full" in _refusal(agent)
            used = _processor_seconds(agent)
            os.kill(pids[1], signal.SIGTERM)
            eventually(lambda: not Path(f"/proc/{pids[1]}").exists(), "exit")
            for call, asked in (
                ("StopTask", {"task": serving.arn}),
                ("RunTask", {"taskDefinition": "another"}),
                ("RegisterTaskDefinition", ANOTHER),
            ):
                with pytest.raises(CommandError, match=r"ServerException: .*full"):
                    agent.call(call, **asked)
            assert serving.shown()["lastStatus"] == "RUNNING"
            assert ending.shown()["lastStatus"] == "RUNNING", "what is not on disk is not told"
            assert serving.shown()["desiredStatus"] == "RUNNING"
            assert Path(f"/proc/{pids[0]}").exists()
            assert _processor_seconds(agent) - used < 5
            assert agent.said()[start:].count("\n") < 10, agent.said()[start:]
            assert "Traceback" not in agent.said()[start:]
        ending.until_closed()
        assert ending.exit_codes() == {"app": 7}
        serving.stop()
        assert serving.until_closed()["stopCode"] == "UserInitiated"
        assert "can be written again" in agent.said()[start:]
        for each in (serving, ending):
            assert each.leftovers() == []


@dataclass(frozen=True, slots=True)
class Small:
    """A disk of its own for one directory of the agent's, and what tasks end for when it is full.

    "" if they run: then only what they log is lost.
    """

    setting: str
    below: str
    size: str
    reason: str


FULL = "no space left on device"
DISKS = {
    "containerd": Small("HOSTLER_STATE_DIR", "containerd", "64m", f"CannotStart.*{FULL}"),
    "logs": Small("HOSTLER_STATE_DIR", "logs", "1m", ""),
    "run": Small("HOSTLER_RUN_DIR", "", "8m", f"ResourceInitialization.*{FULL}"),
}


@pytest.mark.parametrize("small", DISKS.values(), ids=DISKS)
def test_a_full_disk_elsewhere_ends_new_tasks_at_most_and_only_until_there_is_room(
    small: Small,
) -> None:
    with (
        TemporaryDirectory(prefix="htd-") as folder,  # sockets are in it: their paths are short
        disk(Path(folder) / "d" / small.below, small.size) as full,
        running_agent(**{small.setting: f"{folder}/d"}) as agent,
    ):
        serving = run(agent, shell("app", SERVES))
        serving.until_log("app")
        pid = serving.pid("app")
        with filled(full):
            new = run(agent, shell("app", "echo new; exit 5"))
            ended = new.until_closed()
            assert serving.shown()["lastStatus"] == "RUNNING"
        assert new.exit_codes() == {"app": None if small.reason else 5}
        why = ended["stoppedReason"]
        assert re.search(small.reason or "Essential container in task exited", why, re.IGNORECASE)
        later = run(agent, shell("app", "echo works"))
        later.until_closed()
        assert later.log("app") == ["works\n"]
        assert serving.pid("app") == pid
        serving.stop()
        serving.until_closed()
        assert serving.exit_codes() == {"app": 0}
        for each in (serving, new, later):
            assert each.leftovers() == []
        assert "Traceback" not in agent.said()


ANOTHER = {"family": "another", "containerDefinitions": [shell("app", SERVES)]}


def _processor_seconds(agent: Agent) -> float:
    times = psutil.Process(agent.pid).cpu_times()
    return float(times.user + times.system)


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
