"""What RunTask needs to know before it accepts tasks: is it a repeat, does the host have room, does
it have the networks.

Pure, over the feed's pictures. RunTask itself is in ``operations``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from agent.doors.errors import Conflict, InvalidParameter
from agent.doors.requests import RunTask
from agent.engine.feed import Picture
from agent.task.definition import TaskDefinition
from agent.task.model import GROUPS_TAG, Task

Port = tuple[str, int]
"""Protocol and number of a port of the host."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this host has: memory in MiB, CPU in units of 1/1024 core.

    ``interfaces`` are those for tasks in awsvpc mode, None without a limit.
    """

    memory_mib: int
    cpu_units: int
    interfaces: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What may be named for a task's network. None: any name is taken, somebody else knows them."""

    known_subnets: Collection[str] | None = None
    known_groups: Collection[str] | None = ()


@dataclass(slots=True)
class Taken:
    """What tasks have of the host: static ports, and interfaces in awsvpc mode."""

    ports: set[Port] = field(default_factory=set)
    interfaces: int = 0

    def add(self, definition: TaskDefinition) -> None:
        """One more task of this definition."""
        self.ports.update(static_ports(definition))
        self.interfaces += definition.network_mode == "awsvpc"


def repeated(asked: RunTask, pictures: Iterable[Picture]) -> list[Picture]:
    """The tasks that this very request has made already (field ``clientToken``).

    Raises Conflict when the token was used for another request.
    """
    made = [
        each
        for each in pictures
        if asked.client_token and each.intent.task.client_token == asked.client_token
    ]
    if not all(_same(asked, each) for each in made):
        arns = ", ".join(each.intent.task.arn for each in made)
        raise Conflict(f"The clientToken is in use for another request, which started {arns}.")
    return made


def lacking(definition: TaskDefinition, capacity: Capacity, taken: Taken) -> str:
    """The resource of which there is too little for the task, in ECS's words, or nothing."""
    containers = definition.container_definitions
    memory = definition.memory or sum(
        each.memory_reservation or each.memory or 0 for each in containers
    )
    if memory > capacity.memory_mib:
        return "MEMORY"
    if (definition.cpu or sum(each.cpu for each in containers)) > capacity.cpu_units:
        return "CPU"
    if taken.ports & set(static_ports(definition)):
        return "PORTS"
    limit = capacity.interfaces if definition.network_mode == "awsvpc" else None
    return "ENI" if limit is not None and taken.interfaces >= limit else ""


def taken(pictures: Iterable[Picture]) -> Taken:
    """What all tasks have of which something is left on the host."""
    everything = Taken()
    for each in pictures:
        if not each.progress.closed:
            everything.add(each.intent.task.definition)
    return everything


def check_network(asked: RunTask, task: Task, rules: NetworkRules) -> None:
    """Raises InvalidParameter if the network that is asked for ``task`` can't be had here."""
    mode, groups = task.definition.network_mode, task.groups
    if asked.network_configuration.awsvpc_configuration is not None and not task.awsvpc:
        raise InvalidParameter(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )
    if asked.awsvpc.assign_public_ip == "ENABLED":
        raise InvalidParameter(
            "assignPublicIp: ENABLED is not supported: an interface has the addresses that this"
            " host's administrator gave it; use DISABLED"
        )
    if mode == "host" and groups:
        raise InvalidParameter(
            f"tag {GROUPS_TAG}: tasks in network mode host have no network of their own to guard"
        )
    _check_known("subnet", task.subnets, rules.known_subnets)
    _check_known("security group", groups, rules.known_groups)


def _check_known(what: str, named: Iterable[str], known: Collection[str] | None) -> None:
    for each in named:
        if known is not None and each not in known:
            have = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidParameter(f"The {what} '{each}' does not exist on this host: {have}.")


def static_ports(definition: TaskDefinition) -> Iterator[Port]:
    """The ports of the host that every task of this definition needs."""
    for container in definition.container_definitions:
        for mapping in container.port_mappings:
            port = mapping.host_port
            if definition.network_mode == "host":
                port = port or mapping.container_port
            if port and definition.network_mode in ("bridge", "host"):
                yield mapping.protocol, port


def _same(asked: RunTask, picture: Picture) -> bool:
    task = picture.intent.task
    return (
        asked.task_definition.rpartition("/")[2].partition(":")[0] == task.definition.family
        and asked.overrides == task.overrides
        and asked.started_by == task.started_by
        and tuple(asked.awsvpc.subnets) == task.subnets
        and tuple(asked.awsvpc.security_groups) == task.security_groups
    )
