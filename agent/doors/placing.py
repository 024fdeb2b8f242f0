"""Where and by what a new task runs: the runtime of each container, and the task's cgroup.

Decided when the task is accepted, and kept with it: what is configured later is for later tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from agent.doors.errors import InvalidParameter
from agent.host.containers.runtimes import Runtimes
from agent.task import runtimes
from agent.task.cgroup import CgroupRoot
from agent.task.definition import TaskDefinition
from agent.task.model import Task
from agent.task.names import RUNTIME_LABEL


@dataclass(frozen=True, slots=True)
class Placing:
    """What this host has to offer."""

    runtimes: Runtimes = field(default_factory=Runtimes)
    root: CgroupRoot = field(default_factory=lambda: CgroupRoot("/hostler"))
    cgroup_version: int = 1

    def warnings(self, definition: TaskDefinition) -> Iterator[str]:
        """What of the definition has no effect on this host."""
        for index, each in enumerate(definition.container_definitions):
            if self.cgroup_version == 2 and each.linux_parameters.swappiness is not None:
                path = f"containerDefinitions[{index}].linuxParameters.swappiness"
                yield f"{path}: has no effect on this host, whose cgroups are of version 2"

    def placed(self, task: Task) -> Task:
        """The task with its runtimes and its cgroup.

        Raises InvalidParameter for a runtime that isn't there, or can't do what the task needs.
        """
        asked = runtimes.asked(task.definition, task.tags)
        chosen = {name: runtime or self.runtimes.default for name, runtime in asked.items()}
        problems = list(self._problems(task, chosen))
        if problems:
            raise InvalidParameter("; ".join(problems))
        return replace(task, runtimes=chosen, cgroup=self.root.of(task.id).path)

    def _problems(self, task: Task, chosen: dict[str, str]) -> Iterator[str]:
        for name, runtime in chosen.items():
            found = self.runtimes.find(runtime)
            if found is None:
                have = ", ".join(sorted(self.runtimes.named))
                yield (
                    f"container {name}: there is no runtime {runtime!r} on this host "
                    f"(label {RUNTIME_LABEL}, tag {runtimes.RUNTIME_TAG}); there are {have}"
                )
            elif found.isolated:
                for problem in _beyond_isolated(task):
                    yield f"container {name}: runtime {runtime} {problem}"


def _beyond_isolated(task: Task) -> Iterator[str]:
    """What containers can't have whose kernel is not the host's."""
    definition = task.definition
    if definition.network_mode == "host":
        yield "can't use the host's network: use networkMode bridge, awsvpc or none"
    if task.awsvpc and len(task.containers) > 1:
        yield (
            "takes its network for itself, so containers of an awsvpc task can't share it: "
            "use networkMode bridge, or a task with one container"
        )
    for field_name, mode in (("pidMode", definition.pid_mode), ("ipcMode", definition.ipc_mode)):
        if mode in ("host", "task"):
            yield f"can't share processes or memory ({field_name} {mode}): remove {field_name}"
