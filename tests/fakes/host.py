"""A host in memory, ruder than the real one.

It suspends inside every look and action, hides pieces at random, fails and repeats at random, and
can crash (cancel everything) between an effect and its answer. It refuses what the real host would.
Devices of network interfaces appear late, never, or only for a while. Credentials and secrets are
refused, and lost whenever the agent ends. Tags of images move whenever somebody asks; pulls fail,
or last.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.task import actions, images, provisions
from agent.task.images import Obtained
from agent.task.model import Image, Progress, Task, TaskId
from agent.task.records import Pin, Provision
from agent.task.view import (
    Absent,
    ContainerSeen,
    InterfaceSeen,
    Look,
    NetworkSeen,
    Running,
    Seen,
    Unknown,
    View,
)
from tests.worlds import ATTACHED, ENI, IN_AWSVPC

T = TypeVar("T")


@dataclass
class Behaviour:
    """How a container's process behaves: exits by itself, ignores SIGTERM, fails its probes.

    ``counts``: it exits with one more than the last time, as it finds what that run has left.
    """

    exits_after: float | None = None
    exit_code: int = 0
    ignores_term: bool = False
    healthy: bool = True
    counts: bool = False


@dataclass
class Device:
    """How a network interface comes, in seconds after it was acquired; None is never.

    ``refusals``: so many times acquiring it fails at first; ``refused``: it always does, for good.
    """

    appears_after: float | None = 0.0
    vanishes_after: float | None = None
    refusals: int = 0
    refused: bool = False


@dataclass
class Lender:
    """How credentials or secrets are had: ``refusals`` times not, ``refused``: never."""

    refusals: int = 0
    refused: bool = False


@dataclass
class Supply:
    """How images are had: ``refusals`` times not, ``refused``: never.

    ``asked``: of a registry, where a pull takes so many seconds and sometimes an old image that is
    here has to do. Else they are here, in a version that changes all the time.
    """

    refusals: int = 0
    refused: bool = False
    asked: bool = False
    takes: float = 0.0


@dataclass
class FakeHost:
    """The pieces that exist. Without a ``clock`` it lives in the loop's time, often simulated."""

    rng: random.Random
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    rude: bool = True
    device: Device = field(default_factory=Device)
    lender: Lender = field(default_factory=Lender)
    keeper: Lender = field(default_factory=Lender)
    images: Supply = field(default_factory=Supply)
    version: int = 2
    pulling: int = 0
    lent: bool = False
    provisions: set[Provision] = field(default_factory=set)
    acquired_at: float | None = None
    prepared: bool = False
    networks: set[str] = field(default_factory=set)
    containers: dict[str, ContainerSeen] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    signals: list[tuple[str, int, float]] = field(default_factory=list)
    exits: dict[str, tuple[int, float]] = field(default_factory=dict)
    acted: int = 0
    born: dict[str, float] = field(default_factory=dict)
    clock: Callable[[], float] | None = None
    on_change: Callable[[], None] | None = None

    def now(self) -> float:
        return self.clock() if self.clock else asyncio.get_running_loop().time()

    async def look(self, task: Task, progress: Progress) -> View:
        await self._suspend()
        self._age()
        names = [each.name for each in task.containers]
        present = self.present if progress.interface else None
        held = Seen(InterfaceSeen(present)) if self.acquired_at is not None else Absent()
        return View(
            task=self._maybe(Seen(None) if self.prepared else Absent()),
            networks={
                n: self._maybe(Seen(NetworkSeen(served=True)) if n in self.networks else Absent())
                for n in task.sandboxes
            },
            containers={
                n: self._maybe(Seen(self.containers[n]) if n in self.containers else Absent())
                for n in names
            },
            interface=self._maybe(held) if task.awsvpc else Absent(),
            credentials=self._maybe(Seen(None) if self.lent else Absent()),
            provisions={
                kind: self._maybe(Seen(None) if kind in self.provisions else Absent())
                for kind in provisions.needed(task)
            },
        )

    @property
    def present(self) -> bool:
        """Whether the device of the interface is on the host, and not inside a sandbox."""
        if self.acquired_at is None or self.device.appears_after is None or self.networks:
            return False
        age, leaves = self.now() - self.acquired_at, self.device.vanishes_after
        return self.device.appears_after <= age and (leaves is None or age < leaves)

    async def act(self, task: Task, progress: Progress, action: actions.Action) -> actions.Result:
        late = isinstance(action, actions.ForgetTask)
        assert progress.admitted_at is not None or late, "begun without its share of the host"
        self.acted += 1
        await self._suspend()
        if self.rude and self.rng.random() < 0.1:
            return actions.Again("the world is against it")
        self._age()
        if isinstance(action, actions.ObtainImage):
            result = await self._obtain(task, progress, action.container)
        elif isinstance(action, actions.RestartContainer):
            result = await self._restart(task, progress, action.container)
        else:
            result = self._do(task, action)
        await self._suspend()  # a crash here loses the answer, not the effect
        if self.rude and self.rng.random() < 0.05:
            return actions.Again("done, but the answer got lost")
        return result

    def gone(self) -> bool:
        held = self.acquired_at is not None
        lists = self.networks or self.containers or self.provisions
        return not (self.prepared or lists or held or self.lent)

    def forget(self) -> None:
        """The agent ends, and with it what was in its memory alone."""
        self.lent = False
        self.provisions.discard(Provision.SECRETS)

    def reboot(self) -> None:
        """Nothing outlives it."""
        self.prepared, self.acquired_at, self.lent = False, None, False
        self.networks.clear()
        self.containers.clear()
        self.provisions.clear()

    def _do(self, task: Task, action: actions.Action) -> actions.Result:
        match action:
            case actions.AcquireInterface():
                assert task.awsvpc
                return self._acquire()
            case actions.ObtainCredentials():
                assert task.entitled
                return self._lend()
            case actions.AttachNetwork(sandbox):
                return self._attach(task, sandbox)
            case actions.Probe(name):
                secret = task.container(name).secrets
                assert not secret or Provision.SECRETS in self.provisions, "probed without secrets"
                return actions.Done(actions.Probed(0 if self._behaviour(name).healthy else 1, ""))
            case actions.Provide(kind):
                return self._provide(kind)
            case actions.CreateContainer(name):
                self.prepared = True
                assert self.provisions >= provisions.needed_by(task, name), (
                    "made without provisions"
                )
                assert task.sandbox(name) in self.networks
                self.containers.setdefault(name, ContainerSeen(Running.CREATED))
            case actions.StartContainer(name):
                assert self.lent or not task.entitled, "started without credentials"
                self._start(name)
            case actions.Signal(name, number):
                self._signal(name, number)
            case _:
                self._remove(task, action)
        return actions.Done()

    async def _obtain(self, task: Task, progress: Progress, name: str) -> actions.Result:
        if self.images.refused:
            return actions.Never("CannotPullContainerError", "no such image")
        if self.images.refusals:
            self.images.refusals -= 1
            return actions.Again("containerd is away")
        digest = images.version(task, progress, name)
        if not digest:
            self.version += self.rude
            digest = f"sha256:{self.version}"
        if self.images.asked and progress.containers[name].pin is None:
            return actions.Done(Pin(digest, "manifest", 7))
        if self.images.asked:
            await self._pull()
        if self.rude and self.rng.random() < 0.2 and not images.settled(task, progress, name):
            digest = "sha256:0"
        return actions.Done(Obtained(Image("image", "sha256:1", digest), pulled=self.images.asked))

    async def _pull(self) -> None:
        self.pulling += 1
        try:
            await asyncio.sleep(self.images.takes)
        finally:
            self.pulling -= 1

    def _acquire(self) -> actions.Result:
        if self.device.refused:
            return actions.Never("ResourceInitializationError", "no interface is left")
        if self.device.refusals:
            self.device.refusals -= 1
            return actions.Again("no interface is free")
        if self.acquired_at is None:
            self.acquired_at = self.now()
            if self.device.appears_after is not None and self.on_change is not None:
                asyncio.get_running_loop().call_later(self.device.appears_after, self.on_change)
        return actions.Done(ENI)

    def _lend(self) -> actions.Result:
        if self.lender.refused:
            return actions.Never("ResourceInitializationError", "no credentials for the role")
        if self.lender.refusals:
            self.lender.refusals -= 1
            return actions.Again("unable to get credentials: nobody answers")
        self.lent = True
        return actions.Done()

    def _provide(self, kind: Provision) -> actions.Result:
        if kind is Provision.SECRETS and self.keeper.refused:
            return actions.Never("ResourceInitializationError", "no such secret")
        if kind is Provision.SECRETS and self.keeper.refusals:
            self.keeper.refusals -= 1
            return actions.Again("nobody answers")
        self.provisions.add(kind)
        return actions.Done()

    def _attach(self, task: Task, sandbox: str) -> actions.Result:
        if not task.awsvpc:
            self.networks.add(sandbox)
            return actions.Done(ATTACHED)
        assert self.acquired_at is not None
        if not self.present and sandbox not in self.networks:
            return actions.Again("its device is gone")
        self.networks.add(sandbox)
        return actions.Done(IN_AWSVPC)

    def _remove(self, task: Task, action: actions.Action) -> None:
        match action:
            case actions.DeleteContainer(name):
                assert name not in self.containers or name not in self.starts or name in self.exits
                self.containers.pop(name, None)
            case actions.DetachNetwork(sandbox):
                under = set(task.members(sandbox)) & self.containers.keys()
                assert not under, "detached under a container"
                self.networks.discard(sandbox)
            case actions.TakeBack(kind):
                kept = kind is not Provision.SECRETS and self.containers
                assert not kept, "taken back from a container"
                self.provisions.discard(kind)
            case actions.WithdrawCredentials():
                assert not self.containers, "withdrawn from a container"
                self.lent = False
            case actions.ReleaseInterface():
                assert not self.networks, "released while attached"
                self.acquired_at = None
            case actions.ReleaseTask():
                assert self.acquired_at is None
                assert not self.lent
                assert not self.provisions
                assert not self.networks
                assert not self.containers
                self.prepared = False
            case _:
                pass

    async def _restart(self, task: Task, progress: Progress, name: str) -> actions.Result:
        """Three steps, between which it may crash."""
        seen, answered = self.containers.get(name), progress.containers[name].restart
        assert answered is not None
        assert self.provisions >= provisions.needed_by(task, name), "run again without provisions"
        assert task.sandbox(name) in self.networks, "run again without its network"
        if seen is None:
            return actions.Never("CannotStartContainerError", "it is gone")
        if seen.running is Running.STOPPED and seen.exited_at == answered.exited_at:
            self.containers[name] = ContainerSeen(Running.UNSTARTED)
            await self._suspend()
        if self.containers[name].running is Running.UNSTARTED:
            self.containers[name] = ContainerSeen(Running.CREATED)
            await self._suspend()
        self._start(name)
        return actions.Done()

    def _start(self, name: str) -> None:
        seen = self.containers.get(name)
        if seen is not None and seen.running is Running.CREATED:
            self.starts.append(name)
            self.born[name] = self.now()
            self.containers[name] = ContainerSeen(Running.RUNNING, pid=1)
            after = self._behaviour(name).exits_after
            if after is not None and self.on_change is not None:
                asyncio.get_running_loop().call_later(after, self._age)

    def _signal(self, name: str, number: int) -> None:
        seen = self.containers.get(name)
        if seen is None or seen.running is not Running.RUNNING:
            return
        self.signals.append((name, number, self.now()))
        if number == 9:
            self._exit(name, 137)
        elif not self._behaviour(name).ignores_term:
            self._exit(name, 143)

    def _age(self) -> None:
        for name, seen in list(self.containers.items()):
            after = self._behaviour(name).exits_after
            due = self.born.get(name, 0.0) + (after or 0.0)
            if seen.running is Running.RUNNING and after is not None and self.now() >= due:
                behaviour = self._behaviour(name)
                runs = self.starts.count(name) - 1 if behaviour.counts else 0
                self._exit(name, behaviour.exit_code + runs)

    def _exit(self, name: str, code: int) -> None:
        self.exits[name] = (code, self.now())
        self.containers[name] = ContainerSeen(Running.STOPPED, exit_code=code, exited_at=self.now())
        if self.on_change is not None:
            self.on_change()

    def _behaviour(self, name: str) -> Behaviour:
        return self.behaviours.setdefault(name, Behaviour())

    def _maybe(self, look: Look[T]) -> Look[T]:
        dark = self.rude and self.rng.random() < 0.1
        return Unknown("dark") if dark else look

    async def _suspend(self) -> None:
        await asyncio.sleep(self.rng.random() * 0.05 if self.rude else 0)


@dataclass
class FakeHosts:
    """A polite host of its own for each task, and bugs for those in ``faulty``."""

    exits_after: float | None = None
    exit_code: int = 0
    ignores_term: bool = False
    device: Device = field(default_factory=Device)
    images: Supply = field(default_factory=Supply)
    clock: Callable[[], float] | None = None
    faulty: set[TaskId] = field(default_factory=set)
    looks: list[TaskId] = field(default_factory=list)
    forgotten: list[TaskId] = field(default_factory=list)
    _of: dict[TaskId, FakeHost] = field(default_factory=dict)

    def of(self, task: Task) -> FakeHost:
        if task.id not in self._of:
            behaviour = Behaviour(self.exits_after, self.exit_code, ignores_term=self.ignores_term)
            behaviours = {each.name: behaviour for each in task.containers}
            rng = random.Random(1)
            self._of[task.id] = FakeHost(
                rng,
                behaviours,
                rude=False,
                device=replace(self.device),
                images=replace(self.images),
                clock=self.clock,
            )
        return self._of[task.id]

    def runs(self, task: Task) -> bool:
        seen = self.of(task).containers.get("web")
        return seen is not None and seen.running is Running.RUNNING

    async def look(self, task: Task, progress: Progress) -> View:
        self.looks.append(task.id)
        if task.id in self.faulty:
            raise RuntimeError("a bug in the look")
        return await self.of(task).look(task, progress)

    async def act(self, task: Task, progress: Progress, action: actions.Action) -> actions.Result:
        if task.id in self.faulty:
            raise RuntimeError("a bug in the action")
        if isinstance(action, actions.ForgetTask):
            self.forgotten.append(task.id)
        return await self.of(task).act(task, progress, action)
