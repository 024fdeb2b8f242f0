"""Agents that are killed at one point after the other, and the tasks that must not mind."""

from __future__ import annotations

import os
import select
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import IO, Any

from agent.cli.errors import CommandError
from tests.system import crashing
from tests.system.agent import Agent, kept_clean
from tests.system.crashing import Nursery, Point, Start
from tests.system.tasks import Json, Task, containerd_socket, eventually, names_of

Live = Callable[[Task], None]


class Forked:
    """A process that is not our child, as ``subprocess`` would have it but for its exit code."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)
        self._ended = False

    def poll(self) -> int | None:
        return 0 if self._ended_within(0) else None

    def wait(self, timeout: float) -> int:
        assert self._ended_within(timeout), f"process {self.pid} did not end"
        return 0

    def send_signal(self, number: int, /) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)

    def _ended_within(self, seconds: float) -> bool:
        if not self._ended and select.select([self._fd], [], [], seconds)[0]:
            self._ended = True
            os.close(self._fd)  # one for each agent would be too many
        return self._ended


class WatchedAgent(Agent):
    """An agent that keeps a diary of the points it passes.

    At those in ``at`` it is killed, or its containerd if ``pid_file`` is that one's.
    """

    def __init__(self, root: Path, settings: Mapping[str, str], nursery: Nursery) -> None:
        super().__init__(root, settings)
        self.diary = root / "diary"
        self.at: tuple[Point, ...] = ()
        self.pid_file = ""
        self._nursery = nursery

    def _spawned(self, notify: Path, log: IO[bytes]) -> Forked:
        flags = tuple(f"--set={name}={value}" for name, value in self.settings.items())
        given = {"ECS_LOGLEVEL": "warn", "NOTIFY_SOCKET": str(notify)}
        start = Start(flags, given, log.name, str(self.diary), self.at, self.pid_file)
        return Forked(self._nursery.start(start))


@contextmanager
def watched_agent(nursery: Nursery, **settings: str) -> Iterator[WatchedAgent]:
    """As ``running_agent``."""
    with kept_clean(WatchedAgent(Path(tempfile.mkdtemp(prefix="ht-")), settings, nursery)) as agent:
        yield agent


@dataclass(frozen=True, slots=True)
class Reference:
    """A task whose life is the same every time.

    ``live`` brings it from accepted to closed, and may be called again wherever that broke off.
    ``asked`` is more of RunTask. Only actions of kinds that begin with one of ``about`` matter.
    """

    definition: Mapping[str, Any]
    live: Live
    asked: Mapping[str, Any]
    about: tuple[str, ...] = ("",)

    @property
    def family(self) -> str:
        return str(self.definition["family"])

    def run(self, agent: Agent, family: str) -> Task:
        """The one task of that family, accepted now if it was not before."""
        given = {**self.definition, "family": family}
        return Task(agent, agent.run(given, clientToken=family, **self.asked))


@dataclass(frozen=True, slots=True)
class End:
    """All that a task came to, as far as it is not a time or drawn at random."""

    task: Json
    containers: Json
    logs: Json
    volumes: Json
    left: Sequence[str]


def end(task: Task) -> End:
    """How a closed task ended."""
    shown = task.shown()
    volumes = names_of(task.agent).volumes(task.id)
    keys = ("lastStatus", "desiredStatus", "stopCode", "stoppedReason", "connectivity")
    facts = ("lastStatus", "exitCode", "reason", "healthStatus")
    every = {each["name"]: each for each in shown["containers"]}
    return End(
        {key: shown.get(key) for key in keys},
        {name: {key: each.get(key) for key in facts} for name, each in every.items()},
        {name: task.log(name) for name in every},
        {each.name: each.read_text() for each in volumes.rglob("*") if each.is_file()},
        task.leftovers(),
    )


def uninterrupted(agent: WatchedAgent, reference: Reference) -> tuple[list[Point], End]:
    """The points that the task passes, and how it ends. Its images are here by then."""
    reference.live(reference.run(agent, f"first-{reference.family}"))
    task = reference.run(agent, reference.family)
    reference.live(task)
    points = [
        each
        for each in crashing.met(agent.diary)
        if each.family == reference.family and each.action.startswith(reference.about)
    ]
    return points, end(task)


@dataclass(frozen=True, slots=True)
class Crash:
    """Something is to be killed at ``point``, in the life of a ``reference`` of its own."""

    reference: Reference
    point: Point
    number: int = field(default_factory=count().__next__)

    @property
    def armed(self) -> Point:
        """The point for a family that no other crash has."""
        return replace(self.point, family=f"{self.reference.family}-{self.number}")


def crash_at_each(agent: WatchedAgent, crashes: Sequence[Crash]) -> Iterator[tuple[Crash, End]]:
    """How each task ended, with the agent killed once on the way.

    Whoever takes up one task is killed over the next: each agent that starts serves twice.
    """
    armed = [(each.armed,) for each in crashes]
    agent.pid_file = ""
    for crash, following in zip(crashes, [*armed[1:], ()], strict=True):
        if agent.at != (crash.armed,):
            agent.at = (crash.armed,)
            agent.restart()
        with suppress(CommandError):
            crash.reference.live(crash.reference.run(agent, crash.armed.family))
        eventually(lambda: not agent.running, f"the agent's end at {crash.point}")
        assert crash.armed in crashing.met(agent.diary), f"ended before {crash.point}"
        agent.at = following
        agent.start()
        task = crash.reference.run(agent, crash.armed.family)
        crash.reference.live(task)
        yield crash, end(task)


def containerd_killed_at_each(
    agent: WatchedAgent, crashes: Sequence[Crash]
) -> Iterator[tuple[Crash, End]]:
    """How each task ended, with the agent's containerd killed once on the way."""
    agent.at = tuple(each.armed for each in crashes)
    agent.pid_file = str(containerd_socket(agent).with_name("containerd.pid"))
    agent.restart()
    for crash in crashes:
        killed = Path(agent.pid_file).read_text()
        task = crash.reference.run(agent, crash.armed.family)
        crash.reference.live(task)
        eventually(partial(serves_anew, agent, killed), "another containerd")
        assert crash.armed in crashing.met(agent.diary), f"nobody came by {crash.point}"
        yield crash, end(task)


def serves_anew(agent: Agent, killed: str) -> bool:
    """Whether a containerd of the agent's answers that has another pid file than this."""
    socket_path = containerd_socket(agent)
    # In this order: as long as the killed one answers, the file is its own.
    anew = socket_path.with_name("containerd.pid").read_text() != killed
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return anew and probe.connect_ex(str(socket_path)) == 0
