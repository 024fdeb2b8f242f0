"""Images come from registries: into the content store, unpacked, and recorded by name.

One pull per manifest, however many wait for it. What it makes is held by a lease until the image
has its records; if it fails, or all who wait are cancelled, nothing of it stays.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image as Record
from agent.host.images.arriving import documents
from agent.host.images.arriving.documents import Document, Documents
from agent.host.images.arriving.flights import Flights
from agent.host.images.arriving.keeping import (
    Held,
    Keeper,
    config_labels,
    index_labels,
    manifest_labels,
)
from agent.host.images.arriving.lanes import Lane, Lanes
from agent.host.images.arriving.together import together
from agent.host.images.arriving.transfer import Arrival, Repository
from agent.host.images.arriving.unpacking import Layer, Stack, stacked
from agent.host.images.chains import chain_id
from agent.host.images.pulls import LayerProgress, LayerState, Pull
from agent.host.images.records import PULLED_AT
from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config
from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError
from agent.registry.manifest import MANIFESTS, Platform, host_platform
from agent.registry.reference import Reference

SPARE_S = 24 * 3600.0
"""How much longer than a pull may take its lease lasts: others may go on where one timed out."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Journey:
    """What those who pull an image one after the other hand on."""

    held: Held
    lane: Lane
    arrivals: dict[Descriptor, Arrival] = field(default_factory=dict)


class Puller:
    """Pulls images into one containerd namespace."""

    def __init__(
        self,
        client: Containerd,
        parallel: int,
        layer_limit: int,
        timeout_s: float = 2 * 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``parallel``: blobs transferred at once from a registry; ``layer_limit``: bytes of a
        layer when unpacked; ``timeout_s``: no pull takes longer."""
        self._client = client
        self._keeper = Keeper(client, "pull")
        self._lease_s = timeout_s + SPARE_S
        self._clock = clock
        self._lanes = Lanes(parallel, layer_limit, clock)
        self._platform = host_platform()
        self._flights: Flights[_Journey, _Journey] = Flights()
        self._shown: dict[Key, list[Pull]] = {}

    async def pull(
        self, repository: Repository, reference: Reference, target: Descriptor, pull: Pull
    ) -> None:
        """The image is here, unpacked, by the reference and by its digest.

        ``target``: what the reference means, an index or a manifest. Raises RegistryError;
        RegistryUnavailable; ContainerdError.
        """
        if await self._known(target, pull) and await self._named(reference, target):
            await self._record(reference, target)
            if await self._is_kept(target):  # nobody has removed it in between
                return
        key = (reference.name, target.digest)

        def begin() -> AbstractAsyncContextManager[_Journey]:
            return self._journey(reference.registry)

        async def work(journey: _Journey) -> _Journey:
            await self._bring(journey, repository, target, pull)
            return journey

        with self._showing(key, pull):
            async with self._flights.join(key, begin, work) as journey:
                await self._record(reference, target)
                journey.held.referred = True

    async def sweep(self) -> None:
        """What pulls of an earlier agent left is gone, unless containerd is away."""
        await self._keeper.sweep()

    async def _named(self, reference: Reference, target: Descriptor) -> bool:
        """Whether the version is here by a name in the same repository.

        If not, it must show the manifest: anybody can say of a digest that it has it, also of that
        of another one's private image.
        """
        for name in _names(reference, target):
            with suppress(NotFound):
                if (await self._client.images.get(name)).target.digest == target.digest:
                    return True
        return False

    async def _known(self, target: Descriptor, pull: Pull) -> bool:
        """Whether all of the image is here."""
        content = self._client.content

        async def read(wanted: Descriptor) -> bytes:
            return await content.read(wanted.digest)

        try:
            found = await documents.find(target, self._platform, read)
            config = parse_image_config(await read(found.manifest.config))
            await self._client.snapshots.stat(chain_id(config.diff_ids))
            layers = found.manifest.layers
            await together(_there(self._client, each) for each in layers)
        except (NotFound, RegistryError, SpecError):
            return False
        pull.layers = [
            LayerProgress(each.digest, each.size, LayerState.HERE, each.size) for each in layers
        ]
        return True

    async def _is_kept(self, target: Descriptor) -> bool:
        """Whether it is here still; what it refers to would go together with it."""
        try:
            await self._client.content.info(target.digest)
        except NotFound:
            return False
        return True

    @asynccontextmanager
    async def _journey(self, registry: str) -> AsyncIterator[_Journey]:
        async with self._keeper.leased(self._lease_s) as held:
            journey = _Journey(held, self._lanes.of(registry))
            try:
                yield journey
            finally:
                for each in journey.arrivals.values():
                    each.check = None  # a traceback may keep the rest until a collection

    async def _bring(
        self, journey: _Journey, repository: Repository, target: Descriptor, pull: Pull
    ) -> None:
        """All of the image is here, held by the lease."""
        client = journey.held.client
        found = await documents.find(target, self._platform, repository.manifest)
        config = await self._config(journey, repository, found.manifest.config)
        layers = _checked(target, found, config, self._platform)
        if not pull.layers:
            pull.layers.extend(LayerProgress(each.blob.digest, each.blob.size) for each in layers)
        async with journey.lane.unpacker.stack(client, layers) as stack:
            await together(
                self._layer(journey, repository, stack, *each)
                for each in zip(layers, pull.layers, strict=True)
            )
        labels = config_labels(client.snapshotter, layers[-1].chain)
        await client.content.set_labels(found.manifest.config.digest, labels)
        await _write(client, found)

    async def _config(
        self, journey: _Journey, repository: Repository, config: Descriptor
    ) -> ImageConfig:
        client = journey.held.client
        await journey.lane.transfers.blob(
            client, repository, config, Arrival(f"{client.lease}-{config.digest}")
        )
        try:
            return parse_image_config(await client.content.read(config.digest))
        except SpecError as error:
            raise RegistryError(str(error)) from error

    async def _layer(
        self,
        journey: _Journey,
        repository: Repository,
        stack: Stack,
        layer: Layer,
        progress: LayerProgress,
    ) -> None:
        """The layer is here and unpacked."""
        client, lane, blob = journey.held.client, journey.lane, layer.blob
        if blob not in journey.arrivals:
            journey.arrivals[blob] = lane.transfers.arrival(client.lease, blob)
        arrival = journey.arrivals[blob]
        facts = await lane.transfers.layer(client, repository, blob, arrival, progress)
        here = progress.began_at is None and stack.ready[layer.chain].is_set()
        await lane.unpacker.unpack(stack, layer, facts, progress)
        progress.state = LayerState.HERE if here else LayerState.DONE

    async def _record(self, reference: Reference, target: Descriptor) -> None:
        """The image has its names. What else the records say stays."""
        await together(self._name(each, target) for each in _names(reference, target))

    async def _name(self, name: str, target: Descriptor) -> None:
        images = self._client.images
        try:
            labels = (await images.get(name)).labels
        except NotFound:
            labels = {}
        labels = {**labels, PULLED_AT: str(self._clock())}
        await images.create_or_update(Record(name, _target(target), labels))

    @contextmanager
    def _showing(self, key: Key, pull: Pull) -> Iterator[None]:
        """All who wait for the same show the same layers."""
        shown = self._shown.setdefault(key, [])
        pull.layers = shown[0].layers if shown else []
        shown.append(pull)
        try:
            yield
        finally:
            shown[:] = [each for each in shown if each is not pull]
            if not shown:
                del self._shown[key]


def _names(reference: Reference, target: Descriptor) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(reference), f"{reference.name}@{target.digest}")))


async def _there(client: Containerd, blob: Descriptor) -> None:
    """Raises NotFound."""
    await client.content.info(blob.digest)


def _checked(
    target: Descriptor, found: Documents, config: ImageConfig, platform: Platform
) -> tuple[Layer, ...]:
    """The layers, if manifest and config fit together and to this machine; RegistryError."""
    blobs, diff_ids = found.manifest.layers, config.diff_ids
    if len(diff_ids) != len(blobs):
        raise RegistryError(
            f"{target.digest} has {len(blobs)} layers, but {len(diff_ids)} by its config"
        )
    # In an index it was the entry that counted, as for all others who pull.
    if target.media_type in MANIFESTS:
        _check_platform(target, config, platform)
    return stacked(blobs, diff_ids)


def _check_platform(target: Descriptor, config: ImageConfig, platform: Platform) -> None:
    """Some old images tell neither of both."""
    told = Platform(config.os or platform.os, config.architecture or platform.architecture)
    runs = {(each.os, each.architecture) for each in platform.runs()}
    if (told.normal().os, told.normal().architecture) not in runs:
        raise RegistryError(f"{target.digest} is for {told}; this host is {platform}")


async def _write(client: Containerd, found: Documents) -> None:
    """Keeps the documents, the manifest first, each with what holds the next one."""
    labels = manifest_labels(found.manifest.config, found.manifest.layers)
    for document in reversed(found.path):
        await _keep(client, document, labels)
        labels = index_labels(document.descriptor)


async def _keep(client: Containerd, document: Document, labels: dict[str, str]) -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield document.data

    digest = document.descriptor.digest
    await client.content.write(
        f"{client.lease}-{digest}", whole(), size=len(document.data), digest=digest, labels=labels
    )


def _target(given: Descriptor) -> Target:
    return Target(given.media_type, given.digest, given.size)
