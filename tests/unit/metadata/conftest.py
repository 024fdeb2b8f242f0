"""Metadata served on a loopback socket, as a container's SDK sees it."""

import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from metadata.credentials.audit import Audit
from metadata.credentials.room import PREFIXES, CredentialsRoom
from metadata.endpoint import Endpoint
from metadata.front.asking import Room
from metadata.front.limits import Rate
from metadata.front.listener import Bounds
from metadata.source import Owner, Source
from metadata.stats.sampler import Sampler
from tests.unit.metadata import variety
from tests.unit.metadata.facts import INSTANCE, OWNER
from tests.unit.metadata.kernel import FileHost

FAST = Rate(per_second=1e6, burst=1_000_000)
Serve = Callable[..., Awaitable[ClientSession]]


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def untidied(session: ClientSession, path: str) -> URL:
    """The URL with the path as it is; a client would clean it up."""
    assert session._base_url is not None
    return URL(f"{session._base_url.origin()}{path}", encoded=True)


@pytest.fixture
def host(tmp_path: Path) -> FileHost:
    """With one container, of cgroup version 2."""
    host = FileHost(tmp_path)
    host.boot()
    host.run("web", pid=4242)
    return host


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A session whose relative URLs go to a new socket of that owner's."""
    async with AsyncExitStack() as stack:

        async def start(
            source: Source,
            sampler: Sampler | None = None,
            owner: Owner = OWNER,
            bounds: Bounds | None = None,
            rate: Rate = FAST,
            agent_api: Room | None = None,
            credentials: Room | None = None,
        ) -> ClientSession:
            if sampler is None:
                sampler = Sampler()
                stack.callback(sampler.close)
            rooms = {} if credentials is None else dict.fromkeys(PREFIXES, credentials)
            listeners = Endpoint(source, sampler, rate, bounds or Bounds(), rooms)
            if agent_api is not None:
                listeners.open_agent_api(agent_api)
            sock = listening()
            base = f"http://127.0.0.1:{sock.getsockname()[1]}"
            await listeners.serve(sock, owner, "one")
            stack.push_async_callback(listeners.close_all)
            return await stack.enter_async_context(ClientSession(base))

        yield start


@pytest.fixture
async def various(serve: Serve) -> AsyncIterator[ClientSession]:
    """Everything that can be shown, by endpoint ids that are the names of `variety.SHAPES`."""
    sampler, audit = variety.KnownSamples(), Audit(None, INSTANCE, time.time)
    source = variety.picture(*variety.SHAPES)
    yield await serve(
        source,
        sampler,
        agent_api=variety.agent_api(source),
        credentials=CredentialsRoom(source, await variety.vault(source), audit, time.time),
    )
    sampler.close()
    audit.close()
