"""When there is notice that this host will be taken away, its tasks are stopped in time.

Beside Amazon's control plane an agent would only have the host set to DRAINING; off it nobody else
stops the tasks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from agent.engine.draining import evacuate
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet
from agent.engine.store import Store, StoreError
from agent.host import spot
from agent.settings import Settings
from agent.task.model import StopCode, StopRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interruption:
    """Waits for the notice, and acts on it once."""

    settings: Settings
    store: Store
    fleet: Fleet
    feed: Feed

    def background(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What must run meanwhile, where anybody may give notice."""
        if spot.watched(self.settings):
            yield "spot", self.run()

    async def run(self) -> None:
        """Returns when every task has been told to stop."""
        notice = await spot.noticed(self.settings)
        log.warning("this host is to be taken away (%s): all tasks are stopped", notice)
        while True:
            try:
                return await evacuate(self.store, self.fleet, self.feed, _request)
            except StoreError as error:
                log.error("can't stop all tasks: %s; it will be tried again", error)  # noqa: TRY400
                await asyncio.sleep(spot.POLL_S)


def _request() -> StopRequest:
    """In ECS's words."""
    return StopRequest(time.time(), "Your Spot Task was interrupted.", code=StopCode.SPOT)
