"""The endpoint as a whole: which rooms are behind every door, and the doors that are open.

What the agent puts together in `agent.app`.
"""

import socket
from collections.abc import Callable, Mapping

from metadata.front.asking import Asking, Room
from metadata.front.door import Door
from metadata.front.later import Later
from metadata.front.limits import ECS_RATE, Rate
from metadata.front.listener import USUAL, Bounds, Listeners
from metadata.front.tally import Tally
from metadata.source import Owner, Source
from metadata.stats.sampler import Sampler
from metadata.versions import ById, ByOwner, Reception


def _unheard(_: Asking) -> None:
    """Requests above the limit are nobody's concern."""


class Endpoint:
    """Serves metadata on the sockets that it is given, each for the owner it was opened for.

    `rooms` are those beside versions 2 to 4, as `Door` has them; so is `turned_away`. `tally`
    counts what is answered on all of them.
    """

    def __init__(
        self,
        source: Source,
        sampler: Sampler,
        rate: Rate = ECS_RATE,
        bounds: Bounds = USUAL,
        rooms: Mapping[str, Room] | None = None,
        turned_away: Callable[[Asking], None] = _unheard,
    ) -> None:
        reception = Reception(source, sampler)
        by_id = ById(reception)
        self._agent_api = Later()
        metadata: dict[str, Room] = {"v2": ByOwner(reception), "v3": by_id, "v4": by_id}
        self._rooms: Mapping[str, Room] = {**metadata, "api": self._agent_api, **(rooms or {})}
        self._turned_away = turned_away
        self._rate = rate
        self._listeners = Listeners(bounds)
        self.tally = Tally()

    def open_agent_api(self, room: Room) -> None:
        """The room for `/api/` is this: some parts of the agent that it asks are made last."""
        self._agent_api.open(room)

    async def serve(self, sock: socket.socket, owner: Owner, key: str) -> None:
        """Answers on the listening TCP socket, for this owner, until `close(key)`.

        Takes the socket over, as `Listeners.serve`. Raises ValueError for a key that is served.
        """
        door = Door(owner, self._rooms, self._rate, self._turned_away)
        await self._listeners.serve(sock, self.tally.counting(door.answer), key)

    def end(self) -> None:
        """All is soon closed: clients are told not to keep their connections."""
        self._listeners.end()

    async def close(self, key: str) -> None:
        """Nothing is served for the key any more; also when nothing was."""
        await self._listeners.close(key)

    async def close_all(self) -> None:
        """Nothing is served any more."""
        await self._listeners.close_all()
