"""All checks of the host: what is so whether or not an agent runs. One list, one runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from agent.containerd.client import Containerd
from agent.host.checkup import (
    cgroups,
    clock,
    containerd,
    disk,
    forwarding,
    kernel,
    networks,
    resources,
    rolesfile,
    tools,
    units,
)
from agent.host.checkup.outcomes import Outcome, Unseen
from agent.host.checkup.subject import Subject
from cni.errors import CNIError

DEADLINE_S = 30.0
"""Each program has its own deadline, and a file system that hangs has none."""

Check = Callable[[Subject], Iterator[Outcome]]
Named = tuple[str, Check]

CHECKS: Final[tuple[Named, ...]] = (
    (kernel.CHECK, kernel.check),
    (networks.CHECK, networks.check),
    (forwarding.CHECK, forwarding.check),
    (cgroups.CHECK, cgroups.check),
    (tools.CHECK, tools.check),
    (disk.CHECK, disk.check),
    (resources.CHECK, resources.check),
    (clock.CHECK, clock.check),
    (units.CHECK, units.check),
    (rolesfile.CHECK, rolesfile.check),
)


async def examine(
    subject: Subject, client: Containerd | None, *more: tuple[str, Check]
) -> list[Outcome]:
    """What all of these checks and ``more`` say. Changes nothing, raises nothing of theirs.

    ``client`` is None where containerd is the agent's own and there is no agent.
    """
    outcomes: list[Outcome] = []
    checks = (*CHECKS, *more)
    try:
        async with asyncio.timeout(DEADLINE_S):
            outcomes += await asyncio.to_thread(lambda: list(_all(subject, checks)))
    except TimeoutError:
        why = f"no end within {DEADLINE_S:.0f} s: does a file system hang?"
        outcomes.append(Unseen("host", why))
    if client is None:
        outcomes.append(Unseen(containerd.CHECK, "it is the agent's own, and starts with it"))
        return outcomes
    try:
        outcomes += [each async for each in containerd.check(subject, client)]
    except OSError as error:
        outcomes.append(Unseen(containerd.CHECK, str(error)))
    return outcomes


def _all(subject: Subject, checks: tuple[Named, ...]) -> Iterator[Outcome]:
    for name, check in checks:
        try:
            yield from check(subject)
        except (OSError, CNIError) as error:
            yield Unseen(name, str(error))
