"""All that answers questions, put together from the settings."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent import VERSION
from agent.containerd.client import Containerd
from agent.engine.feed import Feed
from agent.engine.fleet import Fleet
from agent.engine.store import Store
from agent.host.containers.metadata_files import MetadataFiles
from agent.host.network.faults import HostFaults
from agent.host.network.networking import Networking
from agent.settings import Settings
from agent.task import names
from agent.telling import introspection
from agent.telling.checkup import Checkup
from agent.telling.credentials import Credentials, open_credentials
from agent.telling.feed_source import FeedSource
from agent.telling.guardian import FleetGuardian
from metadata.agentapi.faults import Faults
from metadata.agentapi.protection import Protection
from metadata.agentapi.room import AgentApi
from metadata.endpoint import Endpoint
from metadata.front.limits import Rate
from metadata.introspection.page import Introspection
from metadata.source import InstanceFacts
from metadata.stats.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Telling:
    """Its parts. ``port`` is where the host's programs ask, ``files`` are containers' own."""

    feed: Feed
    source: FeedSource
    sampler: Sampler
    credentials: Credentials
    endpoint: Endpoint
    files: MetadataFiles | None
    port: socket.socket | None

    def open_agent_api(self, fleet: Fleet, networking: Networking) -> None:
        """Tasks may protect themselves and inject faults from now on.

        Faults may take their time: not in the way of launches.
        """
        settings = networking.settings
        injector = HostFaults(networking.slow, settings.names, settings.faults_table)
        guardian = FleetGuardian(fleet, self.feed, time.time)
        protection, faults = Protection(self.source, guardian), Faults(self.source, injector)
        self.endpoint.open_agent_api(AgentApi(protection, faults))

    def introspection(
        self, client: Containerd, store: Store, fleet: Fleet
    ) -> AbstractAsyncContextManager[None]:
        """The host's programs are answered meanwhile."""
        checkup = Checkup(client, store, fleet)
        page = Introspection(self.source, self.sampler, checkup, self.endpoint.tally)
        return introspection.serving(self.port, page.answer)

    def background(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What must run meanwhile, each with a name."""
        yield "statistics", self.sampler.run(self.source)
        yield "credentials", self.credentials.vault.run()
        if self.files is not None:
            yield "metadata files", self.files.follow(self.source, self.feed)


@asynccontextmanager
async def open_telling(settings: Settings, feed: Feed) -> AsyncIterator[Telling]:
    """Everything is open. Raises ConfigError for a port that can't be had."""
    instance = _instance(settings)
    source = FeedSource(feed, settings.names, instance, measured=not settings.metrics_disabled)
    async with AsyncExitStack() as stack:
        sampler = Sampler(interval_s=settings.metrics_interval_s)
        stack.callback(sampler.close)
        credentials = await stack.enter_async_context(open_credentials(settings, source))
        endpoint = Endpoint(
            source,
            sampler,
            Rate(*settings.metadata_rate),
            rooms=credentials.rooms,
            turned_away=credentials.audit.turned_away,
        )
        stack.push_async_callback(endpoint.close_all)
        port = await asyncio.to_thread(introspection.open_port, settings)
        if port is not None:
            stack.callback(port.close)
        files = None
        if settings.metadata_files:
            files = MetadataFiles(settings.names, instance)
        yield Telling(feed, source, sampler, credentials, endpoint, files, port)


def _instance(settings: Settings) -> InstanceFacts:
    cluster_arn = names.cluster_arn(settings.region, settings.account, settings.cluster)
    return InstanceFacts(
        cluster=cluster_arn,
        arn=names.container_instance_arn(cluster_arn),
        version=VERSION,
        zone="" if settings.zone_hidden else settings.availability_zone,
        tags=settings.instance_tags,
    )
