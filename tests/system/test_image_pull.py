"""Pulling into a real containerd, from a repository in memory that notes what it is asked for."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import secrets
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from agent.containerd.client import Containerd
from agent.containerd.embedded import EmbeddedContainerd
from agent.containerd.errors import ContainerdError, Unavailable
from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image, SnapshotKind
from agent.host.images.arriving.keeping import Keeper, config_labels, manifest_labels
from agent.host.images.arriving.pulling import Puller
from agent.host.images.arriving.scratch import Misfit
from agent.host.images.chains import chain_ids
from agent.host.images.pulls import LayerProgress, LayerState, Pull
from agent.host.images.records import PULLED_AT, USED_AT
from agent.host.images.retries import Backoff
from agent.registry import reference
from agent.registry.descriptor import MANIFEST, Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.layers.check import LayerCheck
from agent.registry.layers.tarscan import TarScan
from tests.fakes.repository import FakeRepository
from tests.system import imagelab, trees, unpackers
from tests.system.containerd_daemon import DaemonPaths, one_chunk, private_containerd
from tests.system.imagelab import Built, Described
from tests.system.layerlab import (
    Layer,
    Noise,
    bomb,
    busybox,
    digest_of,
    directory,
    file,
    hard_link,
    layer,
    opaque,
    two_faced,
    whiteout,
)
from tests.system.trees import Tree

MIB = 1 << 20
LIMIT = 1 << 30
WAIT_S = 60.0
NAME = "registry.test/app:1"
REFERENCE = reference.parse(NAME)


@pytest.fixture
async def client(containerd: DaemonPaths) -> AsyncIterator[Containerd]:
    async with emptied(containerd) as made:
        yield made


@pytest.fixture
async def other(containerd: DaemonPaths) -> AsyncIterator[Containerd]:
    """A second namespace of the same containerd."""
    async with emptied(containerd) as made:
        yield made


@asynccontextmanager
async def emptied(containerd: DaemonPaths) -> AsyncIterator[Containerd]:
    """A containerd namespace in which nothing is left when its images are gone."""
    namespace = f"pull-{secrets.token_hex(4)}"
    async with Containerd(containerd.socket, namespace) as made:
        await made.namespaces.ensure(namespace)
        yield made
        for record in await made.images.list():
            await made.images.delete(record.name, sync=True)
        assert await everything(made) == []
        await made.namespaces.delete(namespace)
    for parent in Path("/sys/fs/cgroup").glob(f"*/{namespace}"):
        parent.rmdir()


@pytest.fixture
def puller(client: Containerd) -> Puller:
    return Puller(client, 6, LIMIT)


async def everything(client: Containerd) -> list[str]:
    """What is in the namespace, of any kind."""
    found = [f"image {each.name}" for each in await client.images.list()]
    found += [f"lease {each.id}" for each in await client.leases.list()]
    found += [f"blob {each.digest}" for each in await client.content.list()]
    found += [f"write {each.ref}" for each in await client.content.statuses()]
    found += [f"snapshot {each.name}" for each in await client.snapshots.list()]
    return found


async def collect(client: Containerd) -> None:
    """All that nothing refers to is gone."""
    await client.leases.create("x", expires_at=time.time() + WAIT_S)
    await client.leases.delete("x", sync=True)


async def pulled(
    puller: Puller, repository: FakeRepository, built: Built, name: str = NAME
) -> list[LayerProgress]:
    """Pulls; gives what became of the layers."""
    parsed = reference.parse(name)
    pull = Pull(str(parsed))
    async with asyncio.timeout(WAIT_S):
        await puller.pull(repository, parsed, built.root, pull)
    return pull.layers


def of(*builts: Built) -> FakeRepository:
    """A repository that has these images."""
    return FakeRepository({digest: data for each in builts for digest, data in each.blobs.items()})


def layers(count: int, size: int = 100_000) -> list[Layer]:
    """So many layers that stand alone, each with a folder of its own."""
    return [
        layer(directory(f"d{number}"), file(f"d{number}/file", Noise(size, number)))
        for number in range(count)
    ]


async def test_an_image_of_many_layers_is_here_under_both_names(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(12))
    repository = of(built)
    before = time.time()
    states = await pulled(puller, repository, built)
    assert {each.state for each in states} == {LayerState.DONE}
    assert [each.size for each in states] == [each.done for each in states]
    assert all(before <= (each.began_at or 0) <= (each.ended_at or 0) for each in states)
    records = {each.name: each for each in await client.images.list()}
    assert sorted(records) == [NAME, f"registry.test/app@{built.root.digest}"]
    for each in records.values():
        assert each.target.digest == built.root.digest
        assert before <= float(each.labels[PULLED_AT]) <= time.time()
    assert (await client.snapshots.stat(built.chain_id)).kind is SnapshotKind.COMMITTED
    assert len(await client.snapshots.list()) == 13
    assert await client.leases.list() == ()
    assert await client.content.statuses() == ()
    assert sorted(repository.asked) == sorted((digest, 0) for digest in built.others)
    assert repository.most <= 6


async def test_it_stays_when_all_that_nothing_refers_to_is_collected(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(3))
    whole = imagelab.index((built, imagelab.HERE))
    await pulled(puller, of(whole), whole)
    before = await everything(client)
    await collect(client)
    assert await everything(client) == before
    assert len([each for each in before if each.startswith("blob")]) == 7


async def test_it_goes_with_its_names(client: Containerd, puller: Puller) -> None:
    built = imagelab.image(busybox(), *layers(3))
    await pulled(puller, of(built), built)
    await client.images.delete(NAME, sync=True)
    assert (await client.snapshots.stat(built.chain_id)).name == built.chain_id
    await client.images.delete(f"registry.test/app@{built.root.digest}", sync=True)
    assert await everything(client) == []


async def test_an_image_that_is_here_is_asked_of_nobody(client: Containerd, puller: Puller) -> None:
    built = imagelab.image(busybox(), *layers(9))
    await pulled(puller, of(built), built)
    record = await client.images.get(NAME)
    await client.images.create_or_update(replace(record, labels={USED_AT: "5", PULLED_AT: "1"}))
    silent = FakeRepository({})
    states = await pulled(puller, silent, built)
    assert not silent.asked
    assert not silent.manifests
    assert {each.state for each in states} == {LayerState.HERE}
    labels = (await client.images.get(NAME)).labels
    assert float(labels[PULLED_AT]) > 1
    assert labels[USED_AT] == "5"


async def test_a_registry_must_show_the_manifest_of_what_another_one_gave(
    client: Containerd, puller: Puller
) -> None:
    """Who only knows the digest of a private image does not get it."""
    built = imagelab.image(busybox(), *layers(2))
    await pulled(puller, of(built), built, "registry.test/private:1")
    knows = FakeRepository({})
    with pytest.raises(RegistryError):
        await pulled(puller, knows, built, "evil.test/mine:1")
    assert [each.name for each in await client.images.list()] == [
        "registry.test/private:1",
        f"registry.test/private@{built.root.digest}",
    ]
    has = of(built)
    await pulled(puller, has, built, "mirror.test/theirs:1")
    assert (has.manifests, has.asked) == ([built.root.digest], [])


async def test_an_image_of_which_something_is_missing_is_completed(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(3))
    await pulled(puller, of(built), built)
    await client.content.delete(built.layers[2].digest)
    await collect(client)
    repository = of(built)
    states = await pulled(puller, repository, built)
    assert repository.asked == [(built.layers[2].digest, 0)]
    done, here = LayerState.DONE, LayerState.HERE
    assert [each.state for each in states] == [here, here, done, here]


async def test_one_changed_layer_moves_alone(client: Containerd, puller: Puller) -> None:
    old = imagelab.image(busybox(), *layers(3))
    new = imagelab.image(busybox(), *layers(2), layer(directory("new"), file("new/file", b"x")))
    await pulled(puller, of(old), old)
    repository = of(new)
    states = await pulled(puller, repository, new)
    assert new.config is not None
    assert sorted(repository.asked) == sorted([(new.layers[3].digest, 0), (new.config.digest, 0)])
    done, here = LayerState.DONE, LayerState.HERE
    assert [each.state for each in states] == [here, here, here, done]
    assert (await client.images.get(NAME)).target.digest == new.root.digest
    old_one = await client.images.get(f"registry.test/app@{old.root.digest}")
    assert old_one.target.digest == old.root.digest


async def test_of_an_index_only_what_this_machine_runs_is_fetched(
    client: Containerd, puller: Puller
) -> None:
    ours, other = imagelab.image(busybox()), imagelab.image(*layers(1))
    whole = imagelab.index((other, {"os": "linux", "architecture": "s390x"}), (ours, imagelab.HERE))
    repository = of(whole)
    await pulled(puller, repository, whole)
    assert repository.manifests == [whole.root.digest, ours.root.digest]
    assert {digest for digest, _ in repository.asked} == set(ours.others)
    assert (await client.images.get(NAME)).target.digest == whole.root.digest
    assert (await client.snapshots.stat(ours.chain_id)).name == ours.chain_id


async def test_a_layer_may_be_there_twice(client: Containerd, puller: Puller) -> None:
    empty, twice = layer(), layer(directory("d"), file("d/f", b"x"))
    built = imagelab.image(busybox(), empty, twice, empty, twice)
    repository = of(built)
    await pulled(puller, repository, built)
    assert len(repository.asked) == 4
    assert (await client.snapshots.stat(built.chain_id)).name == built.chain_id


async def test_ten_who_ask_at_once_cost_one_transfer(client: Containerd, puller: Puller) -> None:
    built = imagelab.image(busybox(), *layers(5))
    repository = of(built)
    found = await asyncio.gather(*(pulled(puller, repository, built) for _ in range(10)))
    assert sorted(repository.asked) == sorted((digest, 0) for digest in built.others)
    assert repository.manifests == [built.root.digest]
    assert {each.state for states in found for each in states} == {LayerState.DONE}


async def test_images_that_share_layers_fetch_and_unpack_them_once(
    client: Containerd, puller: Puller
) -> None:
    shared = [busybox(), *layers(4)]
    images = [
        imagelab.image(*shared, layer(directory("own"), file(f"own/{number}")))
        for number in range(3)
    ]
    repository = of(*images)
    await asyncio.gather(
        *(
            pulled(puller, repository, each, f"registry.test/app:{number}")
            for number, each in enumerate(images)
        )
    )
    for each in images[0].layers[:5]:
        assert repository.offsets(each.digest) == [0]
    assert len(await client.snapshots.list()) == 8


async def test_a_second_namespace_takes_what_the_first_has(
    client: Containerd, other: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(2))
    await pulled(puller, of(built), built)
    repository = of(built)
    await pulled(Puller(other, 6, LIMIT), repository, built)
    assert repository.asked == []
    assert (await other.snapshots.stat(built.chain_id)).name == built.chain_id


async def test_a_broken_connection_goes_on_where_it_broke(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(layer(directory("d"), file("d/f", Noise(5 * MIB))))
    blob = built.layers[0].digest
    repository = of(built)
    repository.cuts[blob] = [100_000, 2 * MIB]
    (progress,) = await pulled(puller, repository, built)
    assert repository.offsets(blob) == [0, 100_000, 100_000 + 2 * MIB]
    assert (progress.state, progress.done) == (LayerState.DONE, progress.size)


async def test_who_takes_over_goes_on_with_what_is_there(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), layer(directory("d"), file("d/f", Noise(8 * MIB))))
    blob = built.layers[1].digest
    repository = of(built)
    repository.held[blob] = asyncio.Event()
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        first = group.create_task(pulled(puller, repository, built))
        await repository.reached.wait()
        name, pull = reference.parse("registry.test/app:2"), Pull("registry.test/app:2")
        group.create_task(puller.pull(repository, name, built.root, pull))
        while not pull.layers:  # noqa: ASYNC110 - until it waits for what the first one brings
            await asyncio.sleep(0.01)
        await until_written(client, blob, 3 * MIB)
        del repository.held[blob]
        first.cancel()
    offsets = repository.offsets(blob)
    assert len(offsets) == 2
    assert offsets[1] >= 3 * MIB
    assert repository.offsets(built.layers[0].digest) == [0]
    assert pull.layers[1].state is LayerState.DONE
    assert [each.name for each in await client.images.list()] == [
        "registry.test/app:2",
        f"registry.test/app@{built.root.digest}",
    ]


async def until_written(client: Containerd, digest: str, size: int) -> None:
    """Returns when so much of the blob is in the content store."""
    while True:
        for each in await client.content.statuses():
            if each.ref.endswith(digest) and each.offset >= size:
                return
        await asyncio.sleep(0.01)


async def test_all_who_ask_are_cancelled_and_nothing_stays(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(3), layer(directory("d"), file("d/f", Noise(MIB))))
    repository = of(built)
    repository.held[built.layers[4].digest] = asyncio.Event()
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        asked = [group.create_task(pulled(puller, repository, built)) for _ in range(3)]
        await repository.reached.wait()
        for each in asked:
            each.cancel()
    assert await everything(client) == []
    assert repository.open == 0


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.8])
async def test_wherever_it_is_cancelled_nothing_stays(
    client: Containerd, puller: Puller, after_s: float
) -> None:
    built = imagelab.image(busybox(), *layers(6, 4 * MIB))
    repository = of(built)
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await puller.pull(repository, REFERENCE, built.root, Pull(NAME))
    for record in await client.images.list():  # it was faster
        await client.images.delete(record.name, sync=True)
    assert await everything(client) == []
    await pulled(puller, of(built), built)


async def test_nothing_of_a_pull_waits_in_memory_to_be_collected(
    client: Containerd, puller: Puller
) -> None:
    """A check remembers up to 20 MiB of a layer, and a full collection comes seldom."""
    gc.collect()
    gc.disable()
    try:
        built = imagelab.image(busybox(), *layers(3))
        lacking = {key: each for key, each in built.blobs.items() if key != built.layers[2].digest}
        with suppress(RegistryError):
            await pulled(puller, FakeRepository(lacking), built)
        for _ in range(3):
            held = of(built)
            held.held[built.layers[1].digest] = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                given_up = group.create_task(pulled(puller, held, built))
                await held.reached.wait()
                given_up.cancel()
        await pulled(puller, of(built), built)
        async with asyncio.timeout(WAIT_S):  # a thread may be at its last piece
            while any(isinstance(each, TarScan) for each in gc.get_objects()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_checks_that_take_long_leave_the_threads_to_others(
    client: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40  # more than an executor has threads by default, on any machine
    built = imagelab.image(*layers(count, 100))
    began, on = threading.Event(), threading.Event()

    def long(check: LayerCheck, chunk: bytes) -> None:
        began.set()
        on.wait(WAIT_S)

    monkeypatch.setattr(LayerCheck, "feed", long)
    repository = of(built)
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        group.create_task(pulled(Puller(client, count, LIMIT), repository, built))
        while len(repository.asked) < count + 1 or not began.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(WAIT_S / 4):
                await asyncio.to_thread(int)
        finally:
            on.set()


async def refused(puller: Puller, repository: FakeRepository, built: Built) -> str:
    """What is said of an image that can't be had."""
    with pytest.raises(RegistryError) as raised:
        await pulled(puller, repository, built)
    assert not isinstance(raised.value, RegistryUnavailable)
    return str(raised.value)


async def test_bytes_that_do_not_have_the_digest_are_refused(
    client: Containerd, puller: Puller
) -> None:
    """They are a harmless layer, only another one."""
    good = imagelab.image(busybox(""), layer(file("f", b"good"), compression=""))
    digest = good.layers[1].digest
    forged = layer(file("f", b"evil"), compression="").blob().data
    said = await refused(puller, of(imagelab.swapped(good, digest, forged)), good)
    assert said == f"what the registry sent for {digest} does not have the digest"
    assert await everything(client) == []


async def test_an_honest_digest_that_containerd_does_not_take_is_no_lie(
    client: Containerd, puller: Puller
) -> None:
    """containerd keeps content by sha256 alone, whatever it is asked for (seen with 1.6)."""
    built = imagelab.image(busybox(), *layers(1))
    data = built.blobs[built.layers[1].digest]
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    built = imagelab.changed(built, lambda found: found["layers"][1].update(digest=digest))
    said = await refused(puller, of(replace(built, blobs={**built.blobs, digest: data})), built)
    assert said.endswith("or this containerd keeps nothing by such a digest")
    assert await everything(client) == []


async def test_a_damaged_layer_is_named(client: Containerd, puller: Puller) -> None:
    built = imagelab.image(busybox(), *layers(1))
    blob = built.layers[1]
    swapped = imagelab.swapped(built, blob.digest, built.blobs[blob.digest][:-8] + bytes(8))
    said = await refused(puller, of(swapped), built)
    assert said.startswith(f"layer {blob.digest}: ")
    assert said.endswith(", or it was damaged on its way here")
    assert await everything(client) == []


async def test_a_config_that_does_not_have_the_digest_is_refused(
    client: Containerd, puller: Puller
) -> None:
    good = imagelab.image(busybox())
    assert good.config is not None
    repository = of(good)
    repository.blobs = {**good.blobs, good.config.digest: b"{" + b" " * (good.config.size - 1)}
    said = await refused(puller, repository, good)
    assert f"{good.config.digest} does not have the digest" in said
    assert await everything(client) == []


async def test_a_blob_that_the_registry_lacks_ends_the_pull(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), *layers(4))
    repository = of(built)
    repository.errors[built.layers[2].digest] = RegistryError("404 blob unknown")
    assert await refused(puller, repository, built) == "404 blob unknown"
    assert await everything(client) == []


@pytest.mark.parametrize("number", [0, 1])
async def test_a_layer_that_is_not_what_the_config_says_is_refused(
    client: Containerd, puller: Puller, number: int
) -> None:
    right = imagelab.image(busybox(), *layers(1))
    wrong = [*right.diff_ids]
    wrong[number] = f"sha256:{'0' * 64}"
    built = imagelab.image(busybox(), *layers(1), described=Described(diff_ids=tuple(wrong)))
    said = await refused(puller, of(built), built)
    assert (
        f"is {right.diff_ids[number]} when unpacked; the image's config says {wrong[number]}"
        in said
    )
    assert await everything(client) == []


async def test_config_and_manifest_must_have_as_many_layers(
    client: Containerd, puller: Puller
) -> None:
    told = Described(diff_ids=imagelab.image(busybox()).diff_ids)
    built = imagelab.image(busybox(), *layers(1), described=told)
    assert "2 layers, but 1 by its config" in await refused(puller, of(built), built)
    assert await everything(client) == []


async def test_an_image_for_another_machine_is_refused(client: Containerd, puller: Puller) -> None:
    other = {"os": "linux", "architecture": "s390x"}
    built = imagelab.image(busybox(), described=Described(platform=other))
    assert "is for linux/s390x; this host is linux/" in await refused(puller, of(built), built)
    within = imagelab.index((built, imagelab.HERE))  # who made the index knows better
    await pulled(puller, of(within), within)


async def test_an_image_that_tells_no_machine_is_for_all(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.image(busybox(), described=Described(platform={}))
    await pulled(puller, of(built), built)


async def test_a_config_that_is_none_is_refused(client: Containerd, puller: Puller) -> None:
    built, config = imagelab.image(busybox()), b'{"rootfs": 5}'
    digest = digest_of(config)

    def points_there(document: imagelab.Json) -> None:
        document["config"] |= {"digest": digest, "size": len(config)}

    changed = imagelab.swapped(imagelab.changed(built, points_there), digest, config)
    assert "image config can't be read: rootfs" in await refused(puller, of(changed), changed)
    assert await everything(client) == []


async def test_a_manifest_that_is_none_is_refused(client: Containerd, puller: Puller) -> None:
    built = imagelab.document(b"[]", MANIFEST)
    assert await refused(puller, of(built), built) == f"{built.root.digest}: not a JSON object"
    assert await everything(client) == []


async def test_an_index_for_other_machines_is_refused(client: Containerd, puller: Puller) -> None:
    built = imagelab.index((imagelab.image(busybox()), {"os": "linux", "architecture": "s390x"}))
    said = await refused(puller, of(built), built)
    assert said.startswith(f"{built.root.digest}: no image for linux/")
    assert await everything(client) == []


async def test_an_index_of_indexes_of_indexes_is_refused(
    client: Containerd, puller: Puller
) -> None:
    built = imagelab.nested(imagelab.image(busybox()), 3)
    assert "indexes within each other" in await refused(puller, of(built), built)
    twice = imagelab.nested(imagelab.image(busybox()), 2)
    await pulled(puller, of(twice), twice)


async def test_a_bomb_is_refused_before_it_is_unpacked(client: Containerd) -> None:
    built = imagelab.image(busybox(), bomb(256 * MIB))
    puller = Puller(client, 6, 128 * MIB)
    assert str(128 * MIB) in await refused(puller, of(built), built)
    assert await everything(client) == []


@pytest.mark.parametrize("together", [True, False])
async def test_a_bomb_that_is_harmless_in_another_form_is_refused(
    client: Containerd, together: bool
) -> None:
    tar = layer(directory("d"), file("d/f", bytes(64 * MIB)), compression="").blob().data
    harmless, bad = two_faced(tar)
    puller = Puller(client, 6, 32 * MIB)
    if together:
        built = imagelab.image(busybox(), harmless, bad)
    else:
        first, built = imagelab.image(harmless), imagelab.image(busybox(), bad)
        await pulled(puller, of(first), first, "registry.test/first:1")
    assert str(32 * MIB) in await refused(puller, of(built), built)


async def test_what_another_namespace_has_is_checked_all_the_same(
    client: Containerd, other: Containerd
) -> None:
    """Its limit may be another one."""
    built = imagelab.image(busybox(), layer(directory("d"), file("d/f", Noise(4 * MIB))))
    await pulled(Puller(client, 6, LIMIT), of(built), built)
    said = await refused(Puller(other, 6, 3 * MIB), of(built), built)
    assert said.endswith(f"more than {3 * MIB} bytes when unpacked (HOSTLER_LAYER_LIMIT)")
    assert await everything(other) == []


async def test_a_registry_that_is_away_for_long_is_unavailable(
    client: Containerd, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.host.images.arriving.transfer.PULLING", Backoff(3, 0.0, 0.0, 1.0))
    built = imagelab.image(busybox(), *layers(1))
    repository = of(built)
    repository.cuts[built.layers[1].digest] = [0, 0, 0, 0]
    with pytest.raises(RegistryUnavailable):
        await pulled(puller, repository, built)
    assert repository.offsets(built.layers[1].digest) == [0, 0, 0]
    assert await everything(client) == []


RICH = (
    busybox(),
    layer(
        directory("a", 0o1777).owned(5, 6),
        file("a/suid", b"s", 0o4755),
        file("a/gone"),
        hard_link("a/twin", "a/suid"),
        directory("a/sub", 0o700).owned(7, 8).having(user__x=b"y"),
        file("a/sub/one"),
        directory("hidden", 0o711),
        file("hidden/file"),
        directory("becomes-file"),
        file("becomes-file/inside"),
    ),
    layer(
        directory("a", 0o755),
        whiteout("a/gone"),
        directory("hidden", 0o750).owned(9, 9),
        opaque("hidden"),
        file("hidden/new"),
        file("becomes-file", b"now"),
        compression="zstd",
    ),
    layer(file("a/sub/implied", b"its folders are below"), compression=""),
    layer(directory("z"), file("z/last"), directory("./", 0o700).owned(3, 4)),
    layer(opaque("."), directory("only"), file("only/this")),
)


@pytest.mark.parametrize("count", [len(RICH) - 1, len(RICH)])
async def test_what_is_unpacked_at_once_is_what_comes_one_after_the_other(
    client: Containerd, other: Containerd, containerd: DaemonPaths, puller: Puller, count: int
) -> None:
    built = imagelab.image(*RICH[:count])
    await pulled(puller, of(built), built)
    await one_after_the_other(other, built)
    ours = await asyncio.to_thread(mounted, containerd, client.namespace)
    theirs = await asyncio.to_thread(mounted, containerd, other.namespace)
    assert trees.differences(timeless(ours), timeless(theirs)) == []
    assert {"only/this", "a/sub/implied"} & {*ours}


def timeless(tree: Tree) -> Tree:
    """Without the times of folders that a layer has something in and does not name."""
    implied = (".", "a", "a/sub")
    return {
        path: replace(node, mtime=0) if path in implied else node for path, node in tree.items()
    }


async def one_after_the_other(client: Containerd, built: Built) -> None:
    """Unpacked by containerd alone, each layer on those below it."""
    async with Keeper(client, "test").leased(WAIT_S) as held:
        for digest, data in built.blobs.items():
            await held.client.content.write(digest, one_chunk(data), size=len(data), digest=digest)
        parent = ""
        for blob, chain in zip(built.layers, chain_ids(built.diff_ids), strict=True):
            mounts = await held.client.snapshots.prepare("unpacking", parent)
            await held.client.diff.apply(target_of(blob), mounts)
            await held.client.snapshots.commit(chain, "unpacking")
            parent = chain
        assert built.config is not None
        config = config_labels(client.snapshotter, parent)
        await client.content.set_labels(built.config.digest, config)
        manifest = manifest_labels(built.config, built.layers)
        await client.content.set_labels(built.root.digest, manifest)
        await client.images.create_or_update(Image(NAME, target_of(built.root)))


def target_of(blob: Descriptor) -> Target:
    return Target(blob.media_type, blob.digest, blob.size)


def mounted(containerd: DaemonPaths, namespace: str) -> Tree:
    """The image's root file system, as ctr mounts it."""
    with unpackers.mounted_by_ctr(containerd, NAME, namespace) as root:
        return trees.read(root)


async def test_ctr_takes_it_for_one_of_its_own(
    client: Containerd, containerd: DaemonPaths, puller: Puller
) -> None:
    """Its own check finds every blob and the snapshot; it runs a container of it."""
    whole = imagelab.index((imagelab.image(busybox(), *layers(2)), imagelab.HERE))
    await pulled(puller, of(whole), whole)

    def ctr(*arguments: str) -> str:
        command = ("ctr", "-a", str(containerd.socket), "-n", client.namespace, *arguments)
        ran = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    checked = await asyncio.to_thread(ctr, "images", "check", f"name=={NAME}")
    assert "complete (4/4)" in checked
    assert checked.rstrip().endswith("true")
    tree = await asyncio.to_thread(ctr, "snapshots", "tree")
    assert len(tree.splitlines()) == 3
    run = ("run", "--rm", "--null-io", NAME, "test-run", "sh", "-c", "test -s /d1/file")
    await asyncio.to_thread(ctr, *run)


async def test_another_snapshotter_unpacks_one_after_the_other(
    client: Containerd, containerd: DaemonPaths
) -> None:
    built = imagelab.image(*RICH)
    async with Containerd(containerd.socket, client.namespace, snapshotter="native") as native:
        await pulled(Puller(native, 6, LIMIT), of(built), built)
        assert (await native.snapshots.stat(built.chain_id)).name == built.chain_id
        assert await client.snapshots.list() == ()
        for record in await client.images.list():
            await client.images.delete(record.name, sync=True)
        assert await native.snapshots.list() == ()


async def test_where_layers_cannot_be_put_in_their_place_they_are_unpacked_there(
    client: Containerd, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def misfit(empty: Path, filled: Path) -> None:
        tried.append(filled)
        raise Misfit("no")

    monkeypatch.setattr("agent.host.images.arriving.scratch._replace", misfit)
    built = imagelab.image(*RICH[:3], *layers(6))
    await pulled(puller, of(built), built)
    assert tried
    assert (await client.snapshots.stat(built.chain_id)).name == built.chain_id


async def test_a_layer_that_containerd_refuses_ends_the_pull(
    client: Containerd, puller: Puller
) -> None:
    """With what containerd said when it was unpacked in its place, if it was apart at first."""
    itself = layer(directory("d"), file("d/gone"), whiteout("d/gone"))
    built = imagelab.image(busybox(), *layers(2), itself)
    with pytest.raises(ContainerdError, match="file exists"):
        await pulled(puller, of(built), built)
    assert await everything(client) == []


def test_what_stays_where_containerd_is_killed_goes_with_the_next_pull() -> None:
    built = imagelab.image(busybox(), *layers(2, MIB))

    async def breaking_off(puller: Puller, repository: FakeRepository) -> None:
        with pytest.raises(Unavailable):
            await pulled(puller, repository, built)

    async def scene(paths: DaemonPaths) -> list[str]:
        async with Containerd(paths.socket, "n") as client:
            await client.namespaces.ensure("n")
            puller, daemon = Puller(client, 6, LIMIT), paths.embedded()
            await daemon.start()
            for _ in range(2):
                repository = of(built)
                held = repository.held[built.layers[2].digest] = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    group.create_task(breaking_off(puller, repository))
                    await repository.reached.wait()
                    await killed(daemon)
                    held.set()
                # Not before the pull has ended, which would clean up after itself with that one.
                await daemon.start()
                await serving(client)
            daemon.release()
            assert any("scratch" in each for each in await everything(client))
            await pulled(puller, of(built), built)
            await collect(client)
            return [each for each in await everything(client) if "pull-" in each or "scr" in each]

    with private_containerd() as paths:
        assert asyncio.run(scene(paths)) == []


async def killed(daemon: EmbeddedContainerd) -> None:
    """The daemon has ended at once."""
    assert daemon.pid is not None
    process = psutil.Process(daemon.pid)
    process.kill()
    await asyncio.to_thread(psutil.wait_procs, [process], WAIT_S)


async def serving(client: Containerd) -> None:
    """The connection is back."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with suppress(Unavailable):
                await client.version()
                return
            await asyncio.sleep(0.05)


def test_unpacking_that_is_cancelled_leaves_no_file() -> None:
    """On the disk of a containerd that has nothing else to keep."""
    size = 16 * MIB
    built = imagelab.image(*layers(4, size))

    async def scene(paths: DaemonPaths) -> list[str]:
        pull = Pull(NAME)

        def unpacking() -> bool:
            return any(each.state is LayerState.UNPACKING for each in pull.layers)

        async with Containerd(paths.socket, "n") as client:
            await client.namespaces.ensure("n")
            puller = Puller(client, 6, LIMIT)
            async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
                task = group.create_task(puller.pull(of(built), REFERENCE, built.root, pull))
                while not unpacking() and not task.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                task.cancel()
            assert task.cancelled()
            assert await everything(client) == []
            await collect(client)
        return [
            str(each)
            for folder in ("snapshotter.v1.overlayfs/snapshots", "content.v1.content/ingest")
            for each in (paths.folder / "root" / f"io.containerd.{folder}").iterdir()
        ]

    with private_containerd() as paths:
        assert asyncio.run(scene(paths)) == []
