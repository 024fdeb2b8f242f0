"""What RunTask needs to know before it accepts tasks: is it a repeat, and does the host have room.

Pure, over the feed's pictures. RunTask itself is in ``operations``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.doors.errors import Conflict
from agent.doors.requests import RunTask
from agent.engine.feed import Picture
from agent.task.definition import TaskDefinition

Port = tuple[str, int]
"""Protocol and number of a port of the host."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this host has: memory in MiB, CPU in units of 1/1024 core."""

    memory_mib: int
    cpu_units: int


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


def lacking(definition: TaskDefinition, capacity: Capacity, taken: set[Port]) -> str:
    """The resource of which there is too little for the task, in ECS's words, or nothing."""
    containers = definition.container_definitions
    memory = definition.memory or sum(
        each.memory_reservation or each.memory or 0 for each in containers
    )
    if memory > capacity.memory_mib:
        return "MEMORY"
    if (definition.cpu or sum(each.cpu for each in containers)) > capacity.cpu_units:
        return "CPU"
    return "PORTS" if taken & set(static_ports(definition)) else ""


def taken_ports(pictures: Iterable[Picture]) -> set[Port]:
    """The static ports of all tasks of which something is left on the host."""
    return {
        port
        for each in pictures
        if not each.progress.closed
        for port in static_ports(each.intent.task.definition)
    }


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
    )
