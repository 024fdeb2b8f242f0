"""An agent that tells of itself what a test wants, and the page in front of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession

from metadata.front.listener import Listeners
from metadata.front.tally import Tally
from metadata.introspection.health import Check
from metadata.introspection.page import Introspection
from metadata.source import TaskFacts
from metadata.stats.sampler import Sampler
from tests.unit.metadata.conftest import listening
from tests.unit.metadata.facts import Picture

Ask = Callable[..., Awaitable[ClientSession]]


@dataclass
class Self:
    """`metadata.introspection.health.Checkup` as a test wants it."""

    found: list[Check] = field(default_factory=lambda: [Check("containerd"), Check("store")])
    failures: int = 0

    async def checks(self) -> Sequence[Check]:
        return self.found


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """A session whose relative URLs go to an introspection port that shows these tasks."""
    async with AsyncExitStack() as stack:

        async def start(
            *tasks: TaskFacts, checkup: Self | None = None, sampler: Sampler | None = None
        ) -> ClientSession:
            if sampler is None:
                sampler = Sampler()
                stack.callback(sampler.close)
            page = Introspection(Picture(list(tasks)), sampler, checkup or Self(), Tally())
            listeners, sock = Listeners(), listening()
            base = f"http://127.0.0.1:{sock.getsockname()[1]}"
            await listeners.serve(sock, page.answer, "introspection")
            stack.push_async_callback(listeners.close_all)
            return await stack.enter_async_context(ClientSession(base))

        yield start
