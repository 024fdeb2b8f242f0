"""What is on the host of an agent's tasks, counted by kind; nothing is asked of the agent."""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from agent.containerd.client import Containerd
from agent.host.cgroups.kernel import Cgroups
from bench import programs
from bench.peers.hostler import ACCOUNT, NAMESPACE
from bench.world import World

Counts = Mapping[str, int]

_VETH_PREFIX = "hv"
"""The agent's default."""


async def counts(world: World, name: str) -> Counts:
    """Of the agent ``name`` (``bench.peers.hostler.agent``)."""
    folder = world.scratch / name
    async with Containerd(world.socket, NAMESPACE) as client:
        containers = await client.containers.list()
        processes = await client.tasks.list()
        snapshots = await client.snapshots.list()
    there = list((folder / "run").rglob("*"))
    return {
        "namespaces": len(list((folder / "run" / "netns").glob("*"))),
        "links": sum(each.startswith(_VETH_PREFIX) for _, each in socket.if_nameindex()),
        "mounts": _mounts(folder),
        "nft elements": await _elements(name),
        "cgroups": sum(1 for _ in _cgroups(world.account(ACCOUNT).containers)),
        "shims": sum(map(_is_shim, psutil.process_iter(["cmdline"]))),
        "containers": len(containers),
        "processes": len(processes),
        "snapshots": len(snapshots),
        "directories": sum(each.is_dir() for each in there),
        "sockets and pipes": sum(each.is_socket() or each.is_fifo() for each in there),
    }


def kept(world: World, name: str, tasks: Collection[str]) -> int:
    """How many directories of state there are for none of these tasks (their ids)."""
    state = world.scratch / name / "state"
    every = (state / each for each in ("logs", "volumes", "metadata"))
    return sum(one.name not in tasks for each in every if each.exists() for one in each.iterdir())


def _mounts(folder: Path) -> int:
    return Path("/proc/self/mountinfo").read_text().count(f" {folder}/")


async def _elements(table: str) -> int:
    """All that the table's sets and maps hold, and its rules."""
    listed = json.loads(await programs.run("nft", "--json", "list", "table", "inet", table))
    return sum(_size(each) for each in listed["nftables"])


def _size(listed: Mapping[str, Any]) -> int:
    held = [listed[each].get("elem", ()) for each in ("set", "map") if each in listed]
    return sum(map(len, held)) + ("rule" in listed)


def _cgroups(path: str) -> Iterator[Path]:
    for tree in Cgroups().trees():
        yield from (each for each in (tree / path.lstrip("/")).rglob("*") if each.is_dir())


def _is_shim(process: psutil.Process) -> bool:
    words = process.info["cmdline"] or [""]
    return "containerd-shim" in words[0] and NAMESPACE in words
