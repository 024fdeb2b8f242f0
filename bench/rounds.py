"""Taking turns: in a round each peer runs a container that sleeps and one that ends at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.accounts import Account, used_s
from bench.world import ready

SETTLE_S = 0.05
"""For a while after a process was moved between cgroups the kernel moves others without waiting for
its readers (about 10 ms): whoever starts a container just then gains what users don't."""


class Peer(Protocol):
    """A way to run a container. Each step returns when it is true; raises what went wrong."""

    name: str
    accounts: tuple[Account, ...]
    """The first is the peer's own: this process counts there while it is the peer's client."""

    async def start(self, name: str) -> None:
        """Container ``name`` runs, with a program that ends on SIGTERM."""

    async def stop(self, name: str) -> None:
        """It was asked to end, and has ended."""

    async def remove(self, name: str) -> None:
        """Nothing of it is left."""

    async def once(self, name: str) -> None:
        """Container ``name`` ran ``true``, and nothing of it is left."""


@dataclass(frozen=True, slots=True)
class Life:
    """What one turn took: wall seconds, and CPU seconds of everything from start to removed."""

    start_s: float
    stop_s: float
    cpu_s: float
    once_s: float


async def alternate(peers: Sequence[Peer], rounds: int) -> dict[str, list[Life]]:
    """The lives by the peers' names, one for each round. An unmeasured round comes first.

    Each round begins with the next peer, as what one leaves the kernel to do costs the next.
    """
    lives: dict[str, list[Life]] = {each.name: [] for each in peers}
    for turn in range(rounds + 1):
        first = turn % len(peers)
        for peer in (*peers[first:], *peers[:first]):
            life = await live(peer, f"c{turn}")
            if turn > 0:
                lives[peer.name].append(life)
    return lives


async def live(peer: Peer, name: str) -> Life:
    """One turn of one peer."""
    peer.accounts[0].enter(os.getpid())
    await asyncio.sleep(SETTLE_S)
    cpu = used_s(peer.accounts)
    began = time.monotonic()
    await peer.start(name)
    started = time.monotonic()
    await ready(peer.accounts[0], 1)
    stopping = time.monotonic()
    await peer.stop(name)
    stopped = time.monotonic()
    await peer.remove(name)
    cpu = used_s(peer.accounts) - cpu
    await asyncio.sleep(SETTLE_S)
    again = time.monotonic()
    await peer.once(f"{name}-once")
    once = time.monotonic() - again
    return Life(started - began, stopped - stopping, cpu, once)
