"""Keeps the firewall table as it must be: what others destroy is restored within seconds.

An administrator's `nft flush ruleset`, or a service that loads its own rules at start, takes our
table with it; every published port and the way out of all containers would be gone until the agent
starts again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from cni.firewall.nftwatch import Change, Watch

QUIET_S = 0.2
"""Without a change for that long, whoever changes the table is taken to be done."""
PATIENCE_S = 2.0
"""Restored at the latest after that long, for somebody who is never done."""
RETRY_S = 5.0
"""Between attempts to restore the table."""
_SHOWN = 3

log = logging.getLogger(__name__)


class Guard:
    """Restores ``table`` by calling ``restore(why)`` whenever somebody else has changed it.

    ``reopen`` is called when other tables have changed: Docker and its like close the way of our
    packets when they start. ``ours`` are the ports of the netlink sockets through which the agent
    itself changes the table. Make it before the first change; changes from then on are seen once
    ``run`` runs.
    """

    def __init__(
        self,
        table: str,
        restore: Callable[[str], Awaitable[None]],
        reopen: Callable[[], Awaitable[None]],
        ours: Collection[int],
    ) -> None:
        self._table = table
        self._restore = restore
        self._reopen = reopen
        self._watch = Watch(table, ours)
        self._pending = asyncio.Event()

    async def run(self) -> None:
        """Watches until cancelled; then the watch is closed."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._watch.fileno(), self._pending.set)
        try:
            while True:
                await self._changed()
                changes = self._watch.changes()
                if changes or self._watch.elsewhere:
                    changes += await self._settled()
                    self._watch.elsewhere = False
                    await (self._restored(_summary(changes)) if changes else self._reopened())
        finally:
            loop.remove_reader(self._watch.fileno())
            self._watch.close()

    async def _changed(self) -> None:
        await self._pending.wait()
        self._pending.clear()

    async def _settled(self) -> list[Change]:
        """The changes that follow, until there is quiet or patience ends."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_S
        changes: list[Change] = []
        while True:
            try:
                async with asyncio.timeout_at(min(end, loop.time() + QUIET_S)):
                    await self._changed()
            except TimeoutError:
                return changes
            changes += self._watch.changes()

    async def _reopened(self) -> None:
        try:
            await self._reopen()
        except Exception:
            log.exception("other firewalls have changed; could not see whether they let pass")

    async def _restored(self, why: str) -> None:
        while True:
            try:
                await self._restore(why)
            except Exception:
                log.exception("nftables table %s: %s; not restored yet", self._table, why)
                await asyncio.sleep(RETRY_S)
            else:
                log.warning("nftables table %s: %s; restored", self._table, why)
                return


def _summary(changes: list[Change]) -> str:
    """What was changed and by whom, each only once, the rest only counted."""
    said = list(dict.fromkeys(map(str, changes)))
    more = [f"{len(said) - _SHOWN} more changes"] if len(said) > _SHOWN else []
    return "; ".join([*said[:_SHOWN], *more])
