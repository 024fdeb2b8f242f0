"""What this host has for tasks: all of it, but for what the settings keep back."""

from __future__ import annotations

import os

import psutil

from agent.settings import Settings
from agent.task.capacity import Capacity, Port

USUAL = frozenset({22, 2375, 2376, 51678, 51679})
"""The TCP ports that ECS reserves where nobody says otherwise: SSH, Docker's, the agent's own."""


def capacity(settings: Settings, interfaces: int | None) -> Capacity:
    """Memory, CPU, ports, and the number of network interfaces (None is no limit)."""
    memory = settings.memory_mib or psutil.virtual_memory().total // 2**20
    return Capacity(
        memory_mib=max(memory - settings.reserved_memory_mib, 0),
        cpu_units=settings.cpu_units or (os.cpu_count() or 1) * 1024,
        interfaces=interfaces,
        reserved=reserved(settings),
    )


def reserved(settings: Settings) -> frozenset[Port]:
    """The ports that no task gets, whether it asks for them or for any."""
    tcp = settings.reserved_ports
    if tcp is None:
        ours = (settings.api_listen, settings.introspection_listen)
        tcp = USUAL | {each[1] for each in ours if each is not None}
    return frozenset(
        [*(("tcp", each) for each in tcp), *(("udp", each) for each in settings.reserved_ports_udp)]
    )
