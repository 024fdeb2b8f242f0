"""A host whose actions happen step by step, and may be cut off between any two of them.

It refuses what would do harm, whoever asks for it: a container made without its network, a network
taken from under a container, a second process in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from signal import SIGKILL

from agent.task import actions, images, provisions
from agent.task.images import Obtained
from agent.task.model import Image, Progress, Task
from agent.task.network import Attachment
from agent.task.records import Pin, Provision
from agent.task.view import (
    Absent,
    ContainerSeen,
    InterfaceSeen,
    Look,
    NetworkSeen,
    Running,
    Seen,
    View,
)
from tests.worlds import ENI


class Harm(AssertionError):
    """Something that must never happen was about to."""


def never(wrong: bool, what: str) -> None:
    """Raises Harm if it is ``wrong``."""
    if wrong:
        raise Harm(what)


@dataclass
class Box:
    """A container: its process, how often one was started, and what it was sent."""

    state: Running = Running.UNSTARTED
    runs: int = 0
    code: int | None = None
    exited_at: float | None = None
    out_of_memory: bool = False
    bereft: bool = False
    told: bool = False

    @property
    def up(self) -> bool:
        return self.state is Running.RUNNING

    @property
    def began(self) -> bool:
        return self.state in (Running.RUNNING, Running.STOPPED)

    def seen(self) -> ContainerSeen:
        if self.state is not Running.STOPPED:
            return ContainerSeen(self.state, pid=1 if self.up else 0)
        return ContainerSeen(
            self.state, 0, self.code, self.exited_at, self.out_of_memory, self.bereft
        )


@dataclass
class Host:
    """All that exists of one task, and its clock."""

    task: Task
    now: float = 0.0
    prepared: bool = False
    boxes: dict[str, Box] = field(default_factory=dict)
    sandboxes: dict[str, bool] = field(default_factory=dict)
    held: bool = False
    device: bool = True
    lent: bool = False
    provided: set[Provision] = field(default_factory=set)
    starts: dict[str, int] = field(default_factory=dict)
    exits: dict[str, int | None] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    version: int = 0
    room: bool = True

    @property
    def empty(self) -> bool:
        """Whether nothing of the task is left."""
        return not (
            self.prepared or self.boxes or self.sandboxes or self.held or self.lent or self.provided
        )

    def up(self, name: str) -> bool:
        """Whether the container has a process that runs."""
        return name in self.boxes and self.boxes[name].up

    def look(self, progress: Progress) -> View:
        """Everything, as it is."""
        present = self.device and not self.sandboxes if progress.interface else None
        return View(
            task=_seen(self.prepared),
            networks={each: self._network(each) for each in self.task.sandboxes},
            containers={
                each.name: Seen(self.boxes[each.name].seen())
                if each.name in self.boxes
                else Absent()
                for each in self.task.containers
            },
            interface=Seen(InterfaceSeen(present)) if self.held else Absent(),
            credentials=_seen(self.lent),
            provisions={
                each: _seen(each in self.provided) for each in provisions.needed(self.task)
            },
            shortage="" if self.room else "for 64 MiB of memory: none is free",
        )

    def steps(self, progress: Progress, action: actions.Action) -> Iterator[None]:
        """Carries the action out, a step at a time."""
        match action:
            case actions.CreateContainer(name):
                yield from self._create(name)
            case actions.RestartContainer(name):
                yield from self._restart(progress, name)
            case actions.DeleteContainer(name):
                yield from self._delete(name)
            case actions.StartContainer(name):
                self._start(name)
            case actions.Signal(name, number):
                self._signal(name, number)
            case _:
                self._of_task(action)
        yield

    def gift(self, progress: Progress, action: actions.Action, *, pulls: bool) -> actions.Gift:
        """What only the action could know, now that it is done."""
        match action:
            case actions.ObtainImage(name):
                digest = images.version(self.task, progress, name) or f"sha256:{self.version}"
                if pulls and progress.containers[name].pin is None:
                    return Pin(digest)
                return Obtained(Image(self.task.container(name).image, "sha256:1", digest), pulls)
            case actions.AttachNetwork():
                return Attachment(mode=self.task.definition.network_mode, ipv4="10.0.0.2")
            case actions.AcquireInterface():
                return ENI
            case actions.Probe(name):
                return actions.Probed(0, "")
            case _:
                return None

    def exit(self, name: str, code: int, *, out_of_memory: bool = False) -> None:
        """The process ends."""
        box = self.boxes[name]
        never(not box.up, "only what runs can end")
        self.now += 0.001  # no two exits of a container have the same time
        box.state, box.code, box.exited_at = Running.STOPPED, code, self.now
        box.out_of_memory = out_of_memory
        self.exits[name] = code

    def lose_namespaces(self) -> None:
        """Their first process ends, and with it all in them."""
        self.provided.discard(Provision.NAMESPACES)
        for name, box in self.boxes.items():
            if box.up:
                self.exit(name, 137)
                box.bereft = True

    def lose_shim(self, name: str) -> None:
        """The runtime knows no process of the container any more."""
        self.boxes[name] = Box(runs=self.boxes[name].runs)

    def lose_agent(self) -> None:
        """What only the agent's process has is gone with it."""
        self.lent = False
        self.provided.discard(Provision.SECRETS)
        self.sandboxes = dict.fromkeys(self.sandboxes, False)

    def reboot(self) -> None:
        """Nothing outlives it."""
        self.boxes.clear()
        self.sandboxes.clear()
        self.provided.clear()
        self.prepared = self.held = self.lent = False

    def _network(self, sandbox: str) -> Look[NetworkSeen]:
        if sandbox not in self.sandboxes:
            return Absent()
        return Seen(NetworkSeen(self.sandboxes[sandbox]))

    def _ready(self, name: str) -> None:
        never(self.task.sandbox(name) not in self.sandboxes, f"{name} without its network")
        lacking = provisions.needed_by(self.task, name) - self.provided
        never(bool(lacking), f"{name} without {lacking}")

    def _create(self, name: str) -> Iterator[None]:
        self._ready(name)
        self.prepared = True
        box = self.boxes.setdefault(name, Box())
        yield
        if box.state is Running.UNSTARTED:
            box.state = Running.CREATED

    def _start(self, name: str) -> None:
        box = self.boxes.get(name)
        if box is None or box.state is not Running.CREATED:
            return
        never(self.task.entitled and not self.lent and box.runs == 0, f"{name} without credentials")
        box.state, box.told, box.bereft = Running.RUNNING, False, False
        box.runs += 1
        self.ran.add(name)
        self.starts[name] = self.starts.get(name, 0) + 1

    def _restart(self, progress: Progress, name: str) -> Iterator[None]:
        box, answered = self.boxes.get(name), progress.containers[name].restart
        never(answered is None, f"{name} is run again after no exit")
        if box is None or answered is None:
            return
        self._ready(name)
        if box.state is Running.STOPPED and box.exited_at == answered.exited_at:
            box.state = Running.UNSTARTED
            yield
        if box.state is Running.UNSTARTED:
            box.state = Running.CREATED
            yield
        self._start(name)

    def _delete(self, name: str) -> Iterator[None]:
        box = self.boxes.get(name)
        if box is None:
            return
        box.state = Running.UNSTARTED
        yield
        self.boxes.pop(name, None)

    def _signal(self, name: str, number: int) -> None:
        if not self.up(name):
            return
        self.boxes[name].told = True
        if number == SIGKILL:
            self.exit(name, 137)

    def _of_task(self, action: actions.Action) -> None:
        match action:
            case actions.AcquireInterface():
                self.held = True
            case actions.ObtainCredentials():
                self.lent = True
            case actions.Provide(kind):
                self.provided.add(kind)
            case actions.AttachNetwork(sandbox) | actions.ServeMetadata(sandbox):
                never(self.task.awsvpc and not self.held, "attached without an interface")
                self.sandboxes[sandbox] = True
            case _:
                self._take_down(action)

    def _take_down(self, action: actions.Action) -> None:
        match action:
            case actions.ReleaseInterface():
                never(bool(self.sandboxes), "the interface is released under a sandbox")
                self.held = False
            case actions.WithdrawCredentials():
                never(bool(self.boxes), "credentials are withdrawn from a container")
                self.lent = False
            case actions.TakeBack(Provision.SECRETS):
                self.provided.discard(Provision.SECRETS)
            case actions.TakeBack(kind):
                never(bool(self.boxes or self.sandboxes), f"{kind} is taken from a container")
                self.provided.discard(kind)
            case actions.DetachNetwork(sandbox):
                under = set(self.task.members(sandbox)) & self.boxes.keys()
                never(bool(under), f"the network is taken from under {under}")
                self.sandboxes.pop(sandbox, None)
            case actions.ReleaseTask():
                never(bool(self.boxes or self.sandboxes or self.provided), "released too early")
                never(self.held or self.lent, "released too early")
                self.prepared = False
            case _:
                pass


def _seen(there: bool) -> Look[None]:
    return Seen(None) if there else Absent()
