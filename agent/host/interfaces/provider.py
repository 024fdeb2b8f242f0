"""What a provider of network interfaces is, how it fails, when its interface can be attached."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from agent.task.model import Task, TaskId
from agent.task.network import NetworkInterface
from cni.kernel.linkwatch import LinkTable

_SHOWN = 8
"""Holders that an error names; who wants all asks ``hostler network ls``."""


class InterfaceError(Exception):
    """The task will never have an interface like this; the text says why and what to do."""


class InterfacesExhausted(Exception):
    """None can be had now, though one may later: all are held, or the provider doesn't answer."""


class Provider(Protocol):
    """Gives tasks their interfaces. All but ``held`` may raise OSError where files are kept."""

    @property
    def limit(self) -> int | None:
        """How many tasks may hold one at a time; None is no limit."""

    @property
    def subnets(self) -> Collection[str]:
        """The subnets that tasks may name."""

    async def acquire(self, task: Task) -> NetworkInterface:
        """The task holds this one; asked again, it is the same.

        Raises InterfacesExhausted or InterfaceError.
        """

    async def release(self, task_id: TaskId) -> None:
        """The task holds none. Raises as ``acquire``; either is worth another try."""

    def held(self, task_id: TaskId) -> bool:
        """Whether the task holds one, or may: then it is to be released."""

    async def release_all_but(self, alive: Collection[str]) -> list[str]:
        """Interfaces of tasks that are not ``alive`` are free; returns the ids of those."""


_HOW = (
    "this host has no network interfaces for tasks in awsvpc mode: list them in a file and "
    "name it in HOSTLER_ENIS, or name an interface whose network they may share in "
    "HOSTLER_ENI_PARENT and HOSTLER_ENI_SUBNET, or set HOSTLER_ENI_PROVIDER=ec2"
)


class NoInterfaces:
    """The provider of a host where tasks get none; ``why`` says so."""

    limit = 0
    subnets: Collection[str] = ()

    def __init__(self, why: str = _HOW) -> None:
        self._why = why

    async def acquire(self, task: Task) -> NetworkInterface:
        """Raises InterfaceError."""
        raise InterfaceError(self._why)

    async def release(self, task_id: TaskId) -> None:
        """Nothing is held."""

    def held(self, task_id: TaskId) -> bool:
        """False."""
        return False

    async def release_all_but(self, alive: Collection[str]) -> list[str]:
        """Nothing is held."""
        return []


def present(interface: NetworkInterface, links: LinkTable) -> bool:
    """Whether the host has what attaching needs: the NIC, or that on which a child is made."""
    wanted = interface.parent or interface.mac or interface.name
    if ":" in wanted:  # a MAC; no interface name of ours has a colon
        return links.nic_by_mac(wanted) is not None
    return links.by_name(wanted) is not None


def refuse_other_subnets(task: Task, subnets: Collection[str]) -> None:
    """Raises InterfaceError unless the task takes any subnet or names one of these."""
    if task.subnets and not set(task.subnets) & set(subnets):
        asked, there = ", ".join(task.subnets), ", ".join(sorted(subnets)) or "none"
        raise InterfaceError(f"no interface is in subnet {asked}: the subnets here are {there}")


def holders(of: Mapping[str, TaskId]) -> str:
    """Who holds what, for an error."""
    shown = [f"{interface} by task {task}" for interface, task in sorted(of.items())[:_SHOWN]]
    more = [f"{len(of) - _SHOWN} more"] if len(of) > _SHOWN else []
    return ", ".join(shown + more)
