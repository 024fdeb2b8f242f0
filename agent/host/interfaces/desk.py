"""The network interfaces of awsvpc tasks, as the engine asks for them: held or not, here or not."""

from __future__ import annotations

from dataclasses import dataclass

from agent.host.interfaces.provider import Provider, present
from agent.task.model import Progress, Task
from agent.task.network import NetworkInterface
from agent.task.view import Absent, InterfaceSeen, Look, Seen
from cni.kernel.linkwatch import LinkTable


@dataclass(frozen=True, slots=True)
class Interfaces:
    """A provider, and the host's links as they are now."""

    provider: Provider
    links: LinkTable

    def look(self, task: Task, progress: Progress) -> Look[InterfaceSeen]:
        """Whether the task holds an interface, and whether its device is on this host."""
        if not task.awsvpc or not self.provider.held(task.id):
            return Absent()
        interface = progress.interface
        return Seen(InterfaceSeen(present(interface, self.links) if interface else None))

    async def acquire(self, task: Task) -> NetworkInterface:
        """The task's own. Raises InterfacesExhausted, InterfaceError, OSError."""
        return await self.provider.acquire(task)

    async def release(self, task: Task) -> None:
        """The task holds none. Raises InterfacesExhausted, InterfaceError, OSError."""
        await self.provider.release(task.id)
