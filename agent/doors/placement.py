"""Whether a task fits this host beyond its size: the processor it is for, and GPUs.

Who gets which GPU is decided here, when a task is accepted, as ECS's control plane does it, and
kept with the task: those of tasks that are not over are taken. RunTask itself is in ``tasks``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.engine.feed import Picture
from agent.host.gpus import inventory
from agent.host.gpus.inventory import Gpu, Gpus
from agent.task.definition import ContainerDefinition, TaskDefinition

_MACHINES = {"X86_64": ("x86_64", "amd64"), "ARM64": ("aarch64", "arm64")}

Chosen = Mapping[str, tuple[str, ...]]
"""Full names of GPUs, by container."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why there is no place: ECS's ``reason``, and what to do in a sentence."""

    reason: str
    detail: str

    def failure(self, arn: str) -> dict[str, str]:
        """As RunTask shows it; ``arn`` is the host's."""
        shown = {"arn": arn, "reason": self.reason, "detail": self.detail}
        return {name: text for name, text in shown.items() if text}


@dataclass(slots=True)
class GpuRoom:
    """The GPUs that there are, ``why`` if there are none, and the names of those taken."""

    gpus: tuple[Gpu, ...] = ()
    why: str = ""
    claimed: frozenset[str] = frozenset()

    def choose(self, definition: TaskDefinition) -> Chosen | Unfit:
        """GPUs for each container that asks for some, which are then taken; Unfit without them."""
        wanted = {each.name: gpus_wanted(each) for each in definition.container_definitions}
        free = [each.name for each in inventory.free(self.gpus, self.claimed)]
        number = sum(wanted.values())
        if number > len(free):
            have = f"{len(free)} of {len(self.gpus)} GPUs are free" if self.gpus else self.why
            return Unfit("RESOURCE:GPU", f"the task needs {number} GPUs: {have}")
        chosen = {}
        for name, count in wanted.items():
            if count:
                chosen[name], free = tuple(free[:count]), free[count:]
        self.claimed |= {each for names in chosen.values() for each in names}
        return chosen


async def room(definition: TaskDefinition, gpus: Gpus, pictures: Iterable[Picture]) -> GpuRoom:
    """The GPUs for a task; nobody looks for them if it needs none."""
    if not needs_gpus(definition):
        return GpuRoom()
    found, why = await asyncio.to_thread(gpus.find)
    return GpuRoom(found, why, claimed(pictures))


def gpus_wanted(container: ContainerDefinition) -> int:
    """How many GPUs a container asks for."""
    return sum(
        int(each.value or 0) for each in container.resource_requirements if each.type == "GPU"
    )


def needs_gpus(definition: TaskDefinition) -> bool:
    """Whether any container asks for GPUs."""
    return any(map(gpus_wanted, definition.container_definitions))


def claimed(pictures: Iterable[Picture]) -> frozenset[str]:
    """The GPUs of all tasks of which something is left on the host."""
    return frozenset(
        name
        for each in pictures
        if not each.progress.closed
        for names in each.intent.task.gpus.values()
        for name in names
    )


def foreign(definition: TaskDefinition, machine: str) -> Unfit | None:
    """Unfit if the task is for other processors than this host's (``machine`` is uname's)."""
    platform = definition.runtime_platform
    wanted = platform.cpu_architecture if platform else None
    if wanted is None or machine in _MACHINES[wanted]:
        return None
    return Unfit(
        "ATTRIBUTE", f"runtimePlatform.cpuArchitecture is {wanted}, this host is {machine}"
    )
