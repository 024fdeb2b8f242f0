"""The static pool: the interfaces that a file lists (see ``poolfile``), first come, first served.

Two agents that are given the same file don't see each other's claims (see ``claims``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agent.host.interfaces.claims import Claims
from agent.host.interfaces.provider import InterfacesExhausted, holders, refuse_other_subnets
from agent.task.model import Task, TaskId
from agent.task.network import NetworkInterface


class Pool:
    """Gives each task the first free interface in one of its subnets."""

    def __init__(
        self, interfaces: Sequence[NetworkInterface], claims: Claims, limit: int | None = None
    ) -> None:
        self._interfaces = {each.id: each for each in interfaces}
        self._claims = claims
        self.limit = min(limit or len(interfaces), len(interfaces))
        self.subnets: Collection[str] = {each.subnet for each in interfaces if each.subnet}

    async def acquire(self, task: Task) -> NetworkInterface:
        """The interface that the task holds already, else the first that is free."""
        claimed = self._claims.of(task.id)
        if claimed in self._interfaces:
            return self._interfaces[claimed]
        self._claims.drop(task.id)  # it was taken off the list
        refuse_other_subnets(task, self.subnets)
        chosen = self._free(task)
        self._claims.take(chosen.id, task.id)
        return chosen

    async def release(self, task_id: TaskId) -> None:
        """What the task held is free."""
        self._claims.drop(task_id)

    def held(self, task_id: TaskId) -> bool:
        """Whether the task holds one."""
        return self._claims.of(task_id) is not None

    async def release_all_but(self, alive: Collection[str]) -> list[str]:
        """What other tasks held is free."""
        return self._claims.drop_all_but(alive)

    def _free(self, task: Task) -> NetworkInterface:
        held = self._claims.holders
        if len(held) >= self.limit:
            raise InterfacesExhausted(
                f"all {self.limit} network interfaces for tasks are in use: {holders(held)}"
            )
        for each in self._interfaces.values():
            if each.id not in held and (not task.subnets or each.subnet in task.subnets):
                return each
        theirs = {
            each.id: held[each.id]
            for each in self._interfaces.values()
            if each.subnet in task.subnets and each.id in held
        }
        raise InterfacesExhausted(
            f"all network interfaces in subnet {', '.join(task.subnets)} are in use: "
            f"{holders(theirs)}"
        )
