"""Everything about images, put together."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.containerd.client import Containerd
from agent.host.images.arriving.pulling import Puller
from agent.host.images.byhand import HandPuller
from agent.host.images.fetching import Fetcher, Limits
from agent.host.images.obtaining import ContainerImages, Images
from agent.host.images.policy import POLICIES
from agent.host.images.pulls import Pulls
from agent.host.images.saving import Saver
from agent.host.images.stock import retention
from agent.host.images.stock.claims import Claims
from agent.host.images.stock.cleaning import Cleaner
from agent.host.images.stock.inventory import Inventory
from agent.host.images.stock.retention import Needed
from agent.host.keyring import Keyrings
from agent.registry.remote.registries import Registries, RemoteSettings
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class Imagery:
    """What is here, who brings more, how far that is, what containers get, and what goes."""

    here: Images
    pulls: Pulls
    containers: ContainerImages
    by_hand: HandPuller
    inventory: Inventory
    saver: Saver
    cleaner: Cleaner


@asynccontextmanager
async def open_images(
    settings: Settings, client: Containerd, keyrings: Keyrings, needed: Callable[[], Needed]
) -> AsyncIterator[Imagery]:
    """The images of this agent, until left. ``needed`` tells what tasks refer to now."""
    remote = RemoteSettings(
        settings.registry_hosts,
        settings.insecure_registries,
        settings.pull_inactivity_s,
        settings.manifest_timeout_s,
    )
    claims, pulls = Claims(), Pulls()
    here = Images(client, settings.state_dir / "spool", claims, settings.layer_limit)
    puller = Puller(client, settings.pull_parallel, settings.layer_limit, settings.pull_timeout_s)
    for each in (here, puller):  # before anything new begins that could be built on it
        await each.sweep()
    limits = Limits(settings.pull_timeout_s, settings.manifest_timeout_s)
    async with Registries(remote) as registries:
        fetcher = Fetcher(registries, puller, pulls, limits)
        yield Imagery(
            here=here,
            pulls=pulls,
            containers=ContainerImages(here, fetcher, keyrings, POLICIES[settings.pull_behavior]),
            by_hand=HandPuller(here, fetcher, keyrings.host),
            inventory=Inventory(client),
            saver=Saver(client, claims),
            cleaner=Cleaner(client, claims, needed, retention.rules(settings), time.time),
        )
