"""Everything about images, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.containerd.client import Containerd
from agent.host.images.fetching import Fetcher, Limits
from agent.host.images.obtaining import ContainerImages, Images
from agent.host.images.policy import POLICIES
from agent.host.images.pulling import Puller
from agent.host.images.pulls import Pulls
from agent.host.keyring import Keyrings
from agent.registry.remote.registries import Registries, RemoteSettings
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Imagery:
    """What is here, who brings more, how far that is, and what containers get."""

    here: Images
    fetcher: Fetcher
    pulls: Pulls
    containers: ContainerImages


@asynccontextmanager
async def open_images(
    settings: Settings, client: Containerd, keyrings: Keyrings
) -> AsyncIterator[Imagery]:
    """The images of this agent, until left."""
    remote = RemoteSettings(
        settings.registry_hosts,
        settings.insecure_registries,
        settings.pull_inactivity_s,
        settings.manifest_timeout_s,
    )
    here, pulls = Images(client, settings.state_dir / "spool"), Pulls()
    puller = Puller(client, settings.pull_parallel, settings.layer_limit, settings.pull_timeout_s)
    limits = Limits(settings.pull_timeout_s, settings.manifest_timeout_s)
    async with Registries(remote) as registries:
        fetcher = Fetcher(registries, puller, pulls, limits)
        policy = POLICIES[settings.pull_behavior]
        yield Imagery(here, fetcher, pulls, ContainerImages(here, fetcher, keyrings, policy))
