"""Images to archives."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import aclosing

import pytest

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound
from agent.host.images.local import ImageMissing
from agent.host.images.saving import Saver
from agent.host.images.stock.claims import Claimed, Claims
from agent.host.images.stock.inventory import Inventory, pick
from agent.host.images.stock.retention import Stored
from agent.registry import descriptor
from agent.registry.archives.archive import Archive
from agent.registry.platform import host_platform
from tests.unit.host.images.shelf import Shelf


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture
def saver(client: Containerd, claims: Claims) -> Saver:
    return Saver(client, claims)


async def named(client: Containerd, *names: str) -> Mapping[str, Stored]:
    images = await Inventory(client).images()
    return {each: pick(images, each) for each in names}


async def saved(saver: Saver, images: Mapping[str, Stored]) -> Archive:
    chunks = [each async for each in await saver.archive(images)]
    return Archive(io.BytesIO(b"".join(chunks)), host_platform().architecture)


async def test_an_archive_has_the_images_under_their_names(
    client: Containerd, shelf: Shelf, saver: Saver
) -> None:
    digest = shelf.image("x.io/a:1", "x.io/a:2", layers=("base", "a"))
    shelf.image("x.io/b:1", layers=("base", "b"))
    archive = await saved(saver, await named(client, "x.io/a:1", "x.io/b:1", "x.io/a:2"))
    first, second = archive.images
    assert (first.names, second.names) == (("x.io/a:1", "x.io/a:2"), ("x.io/b:1",))
    assert first.manifest.digest == digest
    assert [b"".join(archive.blob(each)) for each in second.layers] == [b"base", b"b"]


async def test_one_of_many_platforms_has_a_digest_of_its_own(
    client: Containerd, shelf: Shelf, saver: Saver
) -> None:
    digest = shelf.image("x.io/a:1")
    size = len(shelf.blobs[digest])
    ours = {
        "mediaType": descriptor.MANIFEST,
        "digest": digest,
        "size": size,
        "platform": {"os": "linux", "architecture": host_platform().architecture},
    }
    document = {"schemaVersion": 2, "manifests": [ours]}
    index = shelf.blob(descriptor.INDEX, json.dumps(document).encode())
    exact = f"x.io/a@{index['digest']}"
    shelf.name(exact, index)
    archive = await saved(saver, await named(client, exact))
    assert [each.names for each in archive.images] == [(f"x.io/a@{digest}",)]


async def test_what_is_not_whole_is_said_before_anything_comes(
    client: Containerd, shelf: Shelf, saver: Saver
) -> None:
    digest = shelf.image("x.io/a:1", layers=("base", "a"))
    images = await named(client, "x.io/a:1")
    layer = json.loads(shelf.blobs[digest])["layers"][1]["digest"]
    del shelf.blobs[layer]
    with pytest.raises(ImageMissing, match=f"not whole: {layer} is gone; pull or load it again"):
        await saver.archive(images)
    del shelf.blobs[digest]
    with pytest.raises(ImageMissing, match="can't be read"):
        await saver.archive(images)


async def test_what_is_being_saved_is_not_removed(
    client: Containerd, shelf: Shelf, saver: Saver, claims: Claims
) -> None:
    shelf.image("x.io/a:1")
    images = await named(client, "x.io/a:1")
    pieces = images["x.io/a:1"].pieces
    async with aclosing(await saver.archive(images)) as chunks:
        await anext(chunks)
        with pytest.raises(Claimed), claims.removing(pieces):
            pytest.fail("it was removed")
    with claims.removing(pieces):
        pass


async def test_a_blob_that_goes_meanwhile_ends_the_archive(
    client: Containerd, shelf: Shelf, saver: Saver
) -> None:
    shelf.image("x.io/a:1")
    async with aclosing(await saver.archive(await named(client, "x.io/a:1"))) as chunks:
        await anext(chunks)
        shelf.blobs.clear()
        with pytest.raises(NotFound):
            async for _ in chunks:
                pass
