"""Interfaces on one parent: each task gets a macvlan child of its own, as many as have addresses.

Id and MAC of a child follow from the task's id. Its address is leased by the network's IPAM when
the task is attached, from the range that ``ipam`` gives it: no other host may use that range.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.config.network import Address, Network
from agent.host.interfaces.claims import Claims
from agent.host.interfaces.provider import InterfacesExhausted, holders, refuse_other_subnets
from agent.settings import Settings
from agent.task.model import Task, TaskId
from agent.task.network import NetworkInterface

_DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


class Macvlan:
    """Gives each task a child of the parent, up to the number of addresses."""

    def __init__(self, settings: Settings, claims: Claims) -> None:
        self._parent = settings.eni_parent
        self._claims = claims
        leases = [_addresses(each, settings) for each in settings.eni_subnets]
        self.limit = min([*leases, *([settings.eni_limit] if settings.eni_limit else [])])
        self.subnets: Collection[str] = [str(each) for each in settings.eni_subnets]

    async def acquire(self, task: Task) -> NetworkInterface:
        """The task's own child; the same as often as asked."""
        refuse_other_subnets(task, self.subnets)
        digest = sha256(task.id.encode()).hexdigest()
        interface = f"eni-{digest[:17]}"
        if self._claims.of(task.id) is None:
            held = self._claims.holders
            if len(held) >= self.limit:
                raise InterfacesExhausted(
                    f"all {self.limit} network interfaces on {self._parent} are in use: "
                    f"{holders(held)}"
                )
            self._claims.take(interface, task.id)
        return NetworkInterface(
            id=interface,
            kind="macvlan",
            mac=local_mac(digest),
            parent=self._parent,
            subnet=next(iter(self.subnets)),
        )

    async def release(self, task_id: TaskId) -> None:
        """Another task may have one."""
        self._claims.drop(task_id)

    def held(self, task_id: TaskId) -> bool:
        """Whether the task has one."""
        return self._claims.of(task_id) is not None

    async def release_all_but(self, alive: Collection[str]) -> list[str]:
        """Other tasks have none."""
        return self._claims.drop_all_but(alive)


def ipam(settings: Settings, data_dir: Path) -> dict[str, Any]:
    """The ``ipam`` part of the network's configuration, with the ranges that the settings say."""
    return {
        "type": "hostler-ipam",
        "dataDir": str(data_dir),
        "ranges": [[_range(each, settings)] for each in settings.eni_subnets],
        "routes": [{"dst": _DEFAULT[each.version]} for each in settings.eni_subnets],
    }


def local_mac(digest: str) -> str:
    """A unicast MAC that no vendor has given out, from hexadecimal digits (IEEE 802c)."""
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def _range(subnet: Network, settings: Settings) -> dict[str, str]:
    ends = _ends(subnet, settings)
    limits = {"rangeStart": str(ends[0]), "rangeEnd": str(ends[1])} if ends else {}
    return {"subnet": str(subnet), "gateway": str(_gateway(subnet, settings)), **limits}


def _gateway(subnet: Network, settings: Settings) -> Address:
    """The one that was set, else the first address, as host-local has it."""
    return next((each for each in settings.eni_gateways if each in subnet), subnet[1])


def _ends(subnet: Network, settings: Settings) -> tuple[Address, Address] | None:
    return next((each for each in settings.eni_ranges if each[0] in subnet), None)


def _addresses(subnet: Network, settings: Settings) -> int:
    """How many addresses can be leased: not the network's own, the broadcast nor the gateway."""
    first, last = int(subnet[1]), int(subnet[-1]) - (1 if subnet.version == 4 else 0)
    if ends := _ends(subnet, settings):
        first, last = max(first, int(ends[0])), min(last, int(ends[1]))
    gateway = int(_gateway(subnet, settings))
    return max(last - first + 1 - (first <= gateway <= last), 0)
