"""The private variables of tasks, in the agent's memory and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.host.private.obtaining import Obtainer
from agent.host.provisions import ProvisionUnavailable
from agent.oci.inputs import Private
from agent.task.model import Task, TaskId
from agent.task.view import Absent, Look, Seen


@dataclass(frozen=True, slots=True)
class Keeper:
    """Provides ``Provision.SECRETS`` (``host.provisions.Provider``): here, or not here."""

    obtainer: Obtainer
    _held: dict[TaskId, Mapping[str, Private]] = field(default_factory=dict, repr=False)

    async def look(self, task: Task) -> Look[None]:
        """Whether they are held. They never are after a restart of the agent."""
        return Seen(None) if task.id in self._held else Absent()

    async def provide(self, task: Task) -> None:
        """They are held. Raises ProvisionError, ProvisionUnavailable."""
        if task.id not in self._held:
            self._held[task.id] = await self.obtainer.obtain(task)

    async def take_back(self, task: Task) -> None:
        """They are forgotten."""
        self._held.pop(task.id, None)

    def of(self, task: Task, name: str) -> Private:
        """Those of a container. Raises ProvisionUnavailable while they are not held."""
        definition = task.container(name)
        if not definition.secrets and not definition.environment_files:
            return Private()
        held = self._held.get(task.id)
        if held is None:
            raise ProvisionUnavailable(f"the secrets of container {name} are not here")
        return held[name]
