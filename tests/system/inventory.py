"""What is on the host, by kind: for the check that a whole run of the system tests leaves nothing.

Processes are those of kinds that the tests start; anybody may start others meanwhile.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

SETTLED_S = 30.0
"""The kernel takes interfaces and cgroups down some time after what used them."""

_PROGRAMS = ("containerd", "containerd-shim", "runc", "catatonit", "docker-registry")

NETWORK = ("link", "table")
"""Kinds of which each network namespace has its own."""

SHARED = ("mount", "cgroup", "process")
ALL = (*NETWORK, *SHARED)

Inventory = Mapping[str, frozenset[str]]


def take(kinds: Collection[str] = ALL) -> Inventory:
    """The names of everything of these kinds."""
    return {kind: frozenset(_LISTS[kind]()) for kind in kinds}


def added_since(before: Inventory) -> list[str]:
    """What is there now and was not, as soon as that is nothing, or when it has had time to go."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        now = take(before.keys())
        added = [f"{kind} {name}" for kind in now for name in sorted(now[kind] - before[kind])]
        if not added or time.monotonic() > deadline:
            return added
        time.sleep(0.1)  # noqa: TID251 - there is no event for all of these


def tables() -> list[tuple[str, str]]:
    """Family and name of each nftables table."""
    command = ["nft", "--json", "list", "tables"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    found = [each["table"] for each in listed["nftables"] if "table" in each]
    return [(each["family"], each["name"]) for each in found]


def _mounts() -> list[str]:
    """Network namespaces that are kept by a mount are among these."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _processes() -> list[str]:
    found = []
    for each in psutil.process_iter(["name", "cmdline"]):
        words = each.info["cmdline"] or []
        if (each.info["name"] or "").startswith(_PROGRAMS) or words[1:2] == ["-m"]:
            found.append(f"{each.pid} {' '.join(words)}")
    return found


def _links() -> Iterable[str]:
    return (name for _, name in socket.if_nameindex())


def _cgroups() -> Iterator[str]:
    for tree in Path("/sys/fs/cgroup").iterdir():
        with suppress(FileNotFoundError, NotADirectoryError):  # it may go meanwhile
            yield from (each.path for each in os.scandir(tree) if each.is_dir())


_LISTS: Mapping[str, Callable[[], Iterable[str]]] = {
    "link": _links,
    "table": lambda: map(" ".join, tables()),
    "mount": _mounts,
    "cgroup": _cgroups,
    "process": _processes,
}
