"""An agent that tells every action and kills itself, or its containerd, at those that are chosen.

It is the agent's own command line, in a process in which the host's ``act`` and the calls to
containerd are wrapped: nothing of it is in the agent. Processes are forked off one that has
imported everything, as for a hundred agents that takes longer than all else they do.

A point is the first time that a task of ``family`` comes by there: ``before`` an action is carried
out, ``after`` it took effect and before its news is heard, ``calling`` containerd for it (``call``)
and ``called``, when containerd or a plugin has done something that nobody has heard of yet.

These agents also answer exits of runs that are too short for restart policies (``LONGER_S``).
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

MIDWAY_S = 0.01
"""After a call to containerd was begun, to be in the middle of it."""

LONGER_S = 90.0
"""A run seems to have lasted longer than it did: no restart policy answers shorter ones."""

_READS = ("Get", "List", "Stat", "Info", "Mounts", "Wait", "Version", "Read")


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in the life of a task of ``family``; ``call`` is what was ``called``."""

    family: str
    action: str
    when: str
    call: str = ""

    def __str__(self) -> str:
        return f"{self.when} {self.action} {self.call.rpartition('/')[2]}".strip()


def met(diary: Path) -> list[Point]:
    """The points that the agents of this diary came by, each once, in their order."""
    lines = diary.read_text().splitlines()
    return list(dict.fromkeys(Point(**json.loads(line)) for line in lines))


class _Witness:
    """Writes down each point that is passed, and kills at the chosen ones.

    ``pid_file`` is whose; without one it is this process.
    """

    def __init__(self, diary: Path, chosen: Iterable[Point], pid_file: str) -> None:
        self._diary = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._chosen = set(chosen)
        self._pid_file = pid_file

    def passes(self, point: Point) -> None:
        os.write(self._diary, json.dumps(asdict(point)).encode() + b"\n")
        if point not in self._chosen:
            return
        self._chosen.discard(point)
        if point.when == "calling":
            asyncio.get_running_loop().call_later(MIDWAY_S, self._kill)
        else:
            self._kill()

    def _kill(self) -> None:
        pid = int(Path(self._pid_file).read_text().split()[0]) if self._pid_file else os.getpid()
        os.kill(pid, signal.SIGKILL)


def _wrap(witness: _Witness) -> None:
    from agent.containerd.rpc import Rpc
    from agent.host.host import RealHost
    from agent.host.network.networkthread import NetworkThread
    from agent.task import restart
    from cni.runtime.chain import Runtime

    current: ContextVar[tuple[str, str] | None] = ContextVar("current", default=None)
    act, unary = RealHost.act, Rpc.unary
    submit, plugin = NetworkThread._submit, Runtime._attachment
    answers = restart.answers

    async def watched_act(self: Any, task: Any, progress: Any, action: Any) -> Any:
        family = task.definition.family
        current.set((family, str(action)))
        witness.passes(Point(family, str(action), "before"))
        result = await act(self, task, progress, action)
        witness.passes(Point(family, str(action), "after"))
        return result

    async def watched_unary(self: Any, method: str, *arguments: Any, **named: Any) -> Any:
        doing = current.get()
        if doing is None or method.rpartition("/")[2] in _READS:
            return await unary(self, method, *arguments, **named)
        witness.passes(Point(*doing, "calling", method))
        answer = await unary(self, method, *arguments, **named)
        witness.passes(Point(*doing, "called", method))
        return answer

    # Threads know nothing of the context of who gave them their work.
    async def watched_submit(self: Any, work: Callable[[], Any]) -> Any:
        return await submit(self, partial(copy_context().run, work))

    def watched_plugin(self: Any, verb: str, step: Any, *arguments: Any) -> Any:
        result = plugin(self, verb, step, *arguments)
        doing = current.get()
        if doing is not None:
            witness.passes(Point(*doing, "called", f"{verb} of {step.type}"))
        return result

    def soon_answers(definition: Any, facts: Any, seen: Any) -> bool:
        later = seen.exited_at and seen.exited_at + LONGER_S
        return answers(definition, facts, replace(seen, exited_at=later))

    restart.answers = soon_answers
    NetworkThread._submit = watched_submit  # type: ignore[method-assign]
    Runtime._attachment = watched_plugin  # type: ignore[method-assign, assignment]
    RealHost.act = watched_act  # type: ignore[method-assign]
    Rpc.unary = watched_unary  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Start:
    """An agent to be started: its flags and environment, where its words and its diary go.

    At the points ``at`` the process in ``pid_file`` is killed, or without one the agent.
    """

    flags: tuple[str, ...]
    environment: Mapping[str, str]
    log: str
    diary: str
    at: tuple[Point, ...] = ()
    pid_file: str = ""


class Nursery:
    """A process that has imported everything, and forks agents off. Usable by several threads."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.crashing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def start(self, asked: Start) -> int:
        """Process id of the agent, which the kernel reaps as soon as it ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(asdict(asked)).encode() + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """It has ended; agents run on."""
        self._process.communicate()


def _agent(asked: Start) -> None:
    from agent.cli.main import main

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(os.open(asked.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    os.dup2(2, 1)
    os.environ.update(asked.environment)
    _wrap(_Witness(Path(asked.diary), asked.at, asked.pid_file))
    main(["agent", *asked.flags])


def main() -> None:
    """Forks off an agent for each line of standard input, and answers with its process id."""
    for each in ("agent.app", "agent.cli.main"):
        importlib.import_module(each)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        given = json.loads(line)
        at = tuple(Point(**each) for each in given["at"])
        pid = os.fork()
        if pid == 0:
            _agent(Start(**{**given, "at": at}))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
