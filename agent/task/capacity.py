"""What tasks need of a host, and who gets it when there isn't enough for all. Pure.

A task has all of its need or nothing, and keeps what it got. An older task that waits never has to
wait for a younger one: a younger one may pass it as long as the older would still fit beside all
that have passed it, once everything older is gone. So nobody starves, and what the older one can't
use meanwhile isn't idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

from agent.task.definition import TaskDefinition, port_range
from agent.task.model import Progress, TaskId

SHOWN_ID = 12
"""Digits of a task's id that people are shown."""

_SHOWN_TASKS = 3

Port = tuple[str, int]
"""Protocol and number of a port of the host."""


class Resource(StrEnum):
    """What there is an amount of, by ECS's names: MiB, 1/1024 cores, network interfaces."""

    MEMORY = "MEMORY"
    CPU = "CPU"
    ENI = "ENI"


Item = Resource | Port
Need = Mapping[Item, int]
"""How much of which; of a port always one."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a host has for tasks: memory in MiB, CPU in units of 1/1024 core.

    ``interfaces`` are those for tasks in awsvpc mode; None is no limit. ``reserved`` ports are for
    no task.
    """

    memory_mib: int | None
    cpu_units: int | None
    interfaces: int | None = None
    reserved: frozenset[Port] = frozenset()

    def of(self, item: Item) -> int | None:
        """How much there is of it; None is no limit."""
        match item:
            case Resource.MEMORY:
                return self.memory_mib
            case Resource.CPU:
                return self.cpu_units
            case Resource.ENI:
                return self.interfaces
            case _:
                return int(item not in self.reserved)


BOUNDLESS = Capacity(None, None)


class Holding(Enum):
    """What a task has of its need now."""

    NOTHING = auto()
    WAITS = auto()
    ALL = auto()
    PLACES = auto()
    """It has stopped, and its ports and its interface are not taken from it yet."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task's need, which it has, or ``waits`` for."""

    task: TaskId
    need: Need
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Allotment:
    """Who of those that waited gets what it needs, and why each of the others doesn't yet."""

    admitted: tuple[TaskId, ...]
    waiting: Mapping[TaskId, str]


def need(definition: TaskDefinition) -> Need:
    """What a task of this definition takes: its own size, or else that of its containers."""
    containers = definition.container_definitions
    memory = definition.memory or sum(
        each.memory_reservation or each.memory or 0 for each in containers
    )
    cpu = definition.cpu or sum(each.cpu for each in containers)
    amounts: dict[Item, int] = {
        Resource.MEMORY: memory,
        Resource.CPU: cpu,
        Resource.ENI: int(definition.network_mode == "awsvpc"),
        **dict.fromkeys(static_ports(definition), 1),
    }
    return {item: amount for item, amount in amounts.items() if amount}


def static_ports(definition: TaskDefinition) -> Iterator[Port]:
    """The ports of the host that every task of this definition needs."""
    on_host = definition.network_mode == "host"
    for container in definition.container_definitions:
        for mapping in container.port_mappings:
            if mapping.host_port and (on_host or definition.network_mode == "bridge"):
                yield mapping.protocol, mapping.host_port
            elif on_host and (span := port_range(mapping)) is not None:
                yield from ((mapping.protocol, each) for each in range(span[0], span[1] + 1))


def never(wanted: Need, capacity: Capacity) -> Item | None:
    """The first of what is wanted that the host could not give even if it had nothing to do."""
    for item, amount in wanted.items():
        most = capacity.of(item)
        if most is not None and amount > most:
            return item
    return None


def holding(progress: Progress) -> Holding:
    """What a task has of its need, as far as its facts say."""
    if progress.closed:
        return Holding.NOTHING
    if progress.admitted_at is None:
        return Holding.WAITS if progress.stop is None else Holding.NOTHING
    return Holding.PLACES if progress.stopped else Holding.ALL


def places(wanted: Need) -> Need:
    """The part of a need that a task keeps until nothing is left of it."""
    kept = (Resource.MEMORY, Resource.CPU)
    return {item: amount for item, amount in wanted.items() if item not in kept}


def allot(claims: Sequence[Claim], capacity: Capacity) -> Allotment:
    """Gives to those that wait what there is for them. ``claims`` are in order of age."""
    account = _Account(capacity, [each for each in claims if not each.waits])
    admitted: list[TaskId] = []
    waiting: dict[TaskId, str] = {}
    for each in claims:
        if not each.waits:
            account.pass_by(each)
        elif why := account.lacks(each):
            waiting[each.task] = why
            account.keep_for(each)
        else:
            admitted.append(each.task)
            account.give(each)
    return Allotment(tuple(admitted), waiting)


def total(holders: Iterable[Claim]) -> dict[Item, int]:
    """How much they hold together."""
    held: dict[Item, int] = {}
    for each in holders:
        for item, amount in each.need.items():
            held[item] = held.get(item, 0) + amount
    return held


@dataclass(slots=True)
class _Account:
    """Where ``allot`` is. ``younger`` is held by the claims that come after it.

    ``room`` is how much of what older tasks wait for may yet go to younger ones.
    """

    capacity: Capacity
    holders: list[Claim]
    queue: list[Claim] = field(default_factory=list)
    held: dict[Item, int] = field(default_factory=dict)
    younger: dict[Item, int] = field(default_factory=dict)
    room: dict[Item, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.held = total(self.holders)
        self.younger = dict(self.held)

    def pass_by(self, claim: Claim) -> None:
        """The claim holds what it needs, and is older than those to come."""
        for item, amount in claim.need.items():
            self.younger[item] -= amount

    def lacks(self, claim: Claim) -> str:
        """What the claim still waits for, in words, or nothing."""
        for item, amount in claim.need.items():
            most = self.capacity.of(item)
            if most is None:
                continue
            free = most - self.held.get(item, 0)
            if why := self._lacks(item, amount, free, most):
                return f"for {_amount(item, amount)}: {why}"
        return ""

    def keep_for(self, claim: Claim) -> None:
        """From here on only so much is given that the claim fits beside all that comes later."""
        self.queue.append(claim)
        if never(claim.need, self.capacity) is not None:
            return  # it waits for another host than this
        for item, amount in claim.need.items():
            most = self.capacity.of(item)
            if most is not None:
                left = most - amount - self.younger.get(item, 0)
                self.room[item] = min(left, self.room.get(item, left))

    def give(self, claim: Claim) -> None:
        """The claim has what it needs from now on."""
        self.holders.append(claim)
        for item, amount in claim.need.items():
            self.held[item] = self.held.get(item, 0) + amount
            if item in self.room:
                self.room[item] -= amount

    def _lacks(self, item: Item, amount: int, free: int, most: int) -> str:
        if amount > most:
            return f"this host has {most if most else 'none for tasks'}"
        first = [each.task for each in self.queue if item in each.need]
        if amount > free:
            before = f"; {_shown(first)} {'is' if len(first) == 1 else 'are'} before it"
            return self._free(item, free, most) + (before if first else "")
        if amount > self.room.get(item, amount):
            return f"{self._free(item, free, most)}, but kept for {_shown(first)}"
        return ""

    def _free(self, item: Item, free: int, most: int) -> str:
        match item:
            case Resource():
                unit = " MiB" if item is Resource.MEMORY else ""
                return f"{max(free, 0)}{unit} of {most} are free"
            case _ if free > 0:
                return "it is free"
            case _:
                has = [each.task for each in self.holders if item in each.need]
                return f"{_shown(has)} {'has' if len(has) == 1 else 'have'} it"


def _amount(item: Item, amount: int) -> str:
    match item:
        case Resource.MEMORY:
            return f"{amount} MiB of memory"
        case Resource.CPU:
            return f"{amount} CPU units"
        case Resource.ENI:
            return "a network interface"
        case protocol, port:
            return f"port {port}/{protocol}"


def _shown(tasks: Sequence[TaskId]) -> str:
    """``task X``, ``tasks X, Y`` or ``tasks X, Y, Z and 4 more``."""
    listed = ", ".join(each[:SHOWN_ID] for each in tasks[:_SHOWN_TASKS])
    more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
    return f"task{'' if len(tasks) == 1 else 's'} {listed}{more}"
