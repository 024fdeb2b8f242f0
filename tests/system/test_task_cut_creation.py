"""The agent is killed while containerd makes a process, at each stage of that: the next goes on.

The stage is held by programs in the place of the shim and of runc, which stop where they are told.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.agent import Agent
from tests.system.crashing import Nursery
from tests.system.crashlab import serves_anew, watched_agent
from tests.system.tasks import (
    SERVES,
    Json,
    Task,
    containerd_socket,
    eventually,
    needs,
    run,
    shell,
    shims,
)

SHIM = shutil.which("containerd-shim-runc-v2")
RUNC = shutil.which("runc")

# containerd reads a shim's log from a FIFO in its bundle. It kills who starts a shim for a caller
# that is gone, and removes the bundle; the shim then waits for a reader of its log for ever.
_SHIM = f"""#!/bin/sh
stop() {{{{ exec 3<>{{gate}}/opening; touch {{gate}}/reached; read opened <&3; exit 1; }}}}
stage=
case "$*" in *" start") read stage 2>/dev/null <{{gate}}/stage && rm {{gate}}/stage;; esac
case $stage in
"no shim") stop;;
"a deaf shim") rm log; mkfifo log; {SHIM} "$@" >{{gate}}/address; stop;;
esac
[ -z "$stage" ] || echo $stage >{{gate}}/stage
exec {SHIM} "$@"
"""
_RUNC = f"""#!/bin/sh
stop() {{{{ exec 3<>{{gate}}/opening; touch {{gate}}/reached; read opened <&3; }}}}
stage=
case " $* " in *" create "*) read stage 2>/dev/null <{{gate}}/stage && rm {{gate}}/stage;; esac
case $stage in
"no container") stop;;
"a container") {RUNC} "$@" || exit; stop; exit;;
esac
exec {RUNC} "$@"
"""
STAGES = ("no shim", "a deaf shim", "no container", "a container")


Kill = Callable[[Agent], None]


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the next creation stops."""

    folder: Path

    def close_at(self, stage: str) -> None:
        (self.folder / "reached").unlink(missing_ok=True)
        (self.folder / "stage").write_text(f"{stage}\n")

    def until_reached(self) -> None:
        eventually((self.folder / "reached").exists, "somebody at the gate")

    def open(self) -> None:
        """Who waits at it goes on; nobody need be there."""
        opening = os.open(self.folder / "opening", os.O_RDWR | os.O_NONBLOCK)
        os.write(opening, b"\n")
        os.close(opening)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("gate")
    os.mkfifo(folder / "opening")
    programs = folder / "programs"
    programs.mkdir()
    for name, text in (("runc", _RUNC), ("containerd-shim-runc-v2", _SHIM)):
        (programs / name).write_text(text.format(gate=folder))
        (programs / name).chmod(0o755)
    return Gate(folder)


@pytest.fixture(scope="module")
def agent(gate: Gate) -> Iterator[Agent]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(gate.folder / "programs"), prepend=":")
        with closing(Nursery()) as nursery, watched_agent(nursery) as agent:
            yield agent


def agent_killed(agent: Agent) -> None:
    agent.kill9()
    agent.start()


def containerd_killed(agent: Agent) -> None:
    path = containerd_socket(agent).with_name("containerd.pid")
    before = path.read_text()
    os.kill(int(before.split()[0]), signal.SIGKILL)
    eventually(lambda: serves_anew(agent, before), "another containerd")


def cut_at(task: Task, gate: Gate, kill: Kill) -> None:
    """Somebody is killed while a creation waits at the gate; the task comes to its usual end."""
    gate.until_reached()
    kill(task.agent)
    gate.open()
    task.until_running()
    for each in ("app", "side"):
        task.until_log(each)
    eventually(lambda: len(shims(task.agent)) == 1, "one shim for all of the task")
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {each["name"]: 0 for each in task.shown()["containers"]}
    assert task.leftovers() == []
    eventually(lambda: not shims(task.agent), "the end of the shim")


SHARED: Json = {"pidMode": "task", "networkMode": "none"}


@pytest.mark.parametrize("kill", [agent_killed, containerd_killed])
@pytest.mark.parametrize("fields", [{}, SHARED], ids=["a container", "a pause process"])
@pytest.mark.parametrize("stage", STAGES)
def test_the_first_creation_of_a_task(
    agent: Agent, gate: Gate, stage: str, fields: Json, kill: Kill
) -> None:
    gate.close_at(stage)
    task = run(agent, shell("app", SERVES), shell("side", SERVES), **fields)
    cut_at(task, gate, kill)


@pytest.mark.parametrize("kill", [agent_killed, containerd_killed])
@pytest.mark.parametrize("stage", [each for each in STAGES if each != "a deaf shim"])
def test_a_later_creation_of_a_task_that_joins_its_shim(
    agent: Agent, gate: Gate, stage: str, kill: Kill
) -> None:
    first, volume = waiting_at(gate, "first", "exit 0")
    side = shell("side", SERVES, dependsOn=needs("first", "SUCCESS"))
    task = run(agent, shell("app", SERVES), first, side, volumes=[volume])
    for each in ("app", "first"):
        task.until_step("started", each)
    gate.close_at(stage)
    (gate.folder / "go").touch()
    cut_at(task, gate, kill)


@pytest.mark.parametrize("kill", [agent_killed, containerd_killed])
@pytest.mark.parametrize("stage", [each for each in STAGES if each != "a deaf shim"])
def test_the_creation_of_another_run(agent: Agent, gate: Gate, stage: str, kill: Kill) -> None:
    policy = {"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [42]}
    twice = "[ ! -e /tmp/ran ] || exit 42; touch /tmp/ran; exit 3"
    again, volume = waiting_at(gate, "again", twice, restartPolicy=policy)
    task = run(agent, shell("app", SERVES), again, volumes=[volume])
    for each in ("app", "again"):
        task.until_step("started", each)
    task.until_log("app")
    gate.close_at(stage)
    (gate.folder / "go").touch()
    gate.until_reached()
    kill(agent)
    gate.open()
    task.until_step("exited", "again", "42")
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0, "again": 42}
    assert task.leftovers() == []
    eventually(lambda: not shims(agent), "the end of the shim")


def waiting_at(gate: Gate, name: str, script: str, **fields: object) -> tuple[Json, Json]:
    """A container that runs the script as soon as ``go`` is in the gate's folder; its volume."""
    (gate.folder / "go").unlink(missing_ok=True)
    waits = f"until [ -e /gate/go ]; do usleep 10000; done; {script}"
    mounts = [{"sourceVolume": "gate", "containerPath": "/gate"}]
    volume = {"name": "gate", "host": {"sourcePath": str(gate.folder)}}
    return shell(name, waits, essential=False, mountPoints=mounts, **fields), volume
