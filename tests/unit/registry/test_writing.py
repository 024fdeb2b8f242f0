import io
import json
import tarfile
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from agent.registry.archives.archive import Archive
from agent.registry.archives.writing import WriteError, write
from agent.registry.descriptor import DOCKER_CONFIG, DOCKER_MANIFEST, LAYER_GZIP, Descriptor, Image
from tests.unit.registry.tars import described, document

BASE, TOP = b"base" * 1000, b"top" * 512
TAGGED = ("docker.io/a/app:1", "docker.io/a/app:latest")
PINNED = "docker.io/a/app@sha256:" + "a" * 64


class Store:
    """Blobs by digest, and which were read."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.read_once: list[str] = []
        self.closed = 0

    def keep(self, data: bytes, media_type: str) -> Descriptor:
        descriptor = described(data, media_type)
        self.blobs[descriptor.digest] = data
        return descriptor

    async def read(self, blob: Descriptor) -> AsyncGenerator[bytes]:
        self.read_once.append(blob.digest)
        data = self.blobs[blob.digest]
        try:
            for at in range(0, len(data), 1000):
                yield data[at : at + 1000]
        finally:
            self.closed += 1


def image(store: Store, *layers: bytes, names: tuple[str, ...] = TAGGED) -> Image:
    config = store.keep(document({"os": "linux", "architecture": "amd64"}), DOCKER_CONFIG)
    stored = tuple(store.keep(layer, LAYER_GZIP) for layer in layers)
    manifest = document(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": config.document,
            "layers": [layer.document for layer in stored],
        }
    )
    return Image(names, store.keep(manifest, DOCKER_MANIFEST), config, stored)


async def written(store: Store, *images: Image) -> io.BytesIO:
    return io.BytesIO(b"".join([chunk async for chunk in write(images, store.read)]))


async def test_what_is_written_is_read_again() -> None:
    store = Store()
    one, two = image(store, BASE, TOP), image(store, BASE, names=("docker.io/library/b:2",))
    with Archive(await written(store, one, two), "amd64") as archive:
        assert archive.images == (one, two)
        for blob in (one.manifest, one.config, *one.layers, two.manifest):
            assert b"".join(archive.blob(blob)) == store.blobs[blob.digest]


async def test_a_blob_of_several_images_is_written_once() -> None:
    store = Store()
    await written(store, image(store, BASE, TOP, BASE), image(store, BASE, names=("a/b:2",)))
    assert len(store.read_once) == len(set(store.read_once)) == 5


async def test_it_is_a_tar_file_for_docker_too() -> None:
    store = Store()
    saved = image(store, BASE, TOP, names=(*TAGGED, PINNED))
    with tarfile.open(fileobj=await written(store, saved)) as tar:
        names = tar.getnames()
        (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert {entry["Config"], *entry["Layers"]} < set(names)
        assert [tar.getmember(layer).size for layer in entry["Layers"]] == [len(BASE), len(TOP)]
    assert entry["RepoTags"] == list(TAGGED)  # docker load takes no name with a digest
    assert names[:5] == ["blobs", "blobs/sha256", "oci-layout", "index.json", "manifest.json"]
    assert len(names) == len(set(names)) == 9


async def test_an_image_without_a_name_stays_without() -> None:
    store = Store()
    nameless = image(store, BASE, names=())
    with Archive(await written(store, nameless), "amd64") as archive:
        assert archive.images == (nameless,)


async def test_long_digests_have_long_names() -> None:
    store = Store()
    digest = "sha512:" + "ab" * 64
    store.blobs[digest] = TOP
    made = image(store, BASE)
    odd = Image((), made.manifest, Descriptor(DOCKER_CONFIG, digest, len(TOP)), made.layers)
    with tarfile.open(fileobj=await written(store, odd)) as tar:
        assert tar.getmember(f"blobs/sha512/{'ab' * 64}").size == len(TOP)


@pytest.mark.parametrize(
    ("data", "says"),
    [(BASE + b"x", "longer than its 4000 bytes"), (BASE[1:], "ends after 3999 of 4000 bytes")],
)
async def test_a_blob_of_another_size_ends_it(data: bytes, says: str) -> None:
    store = Store()
    made = image(store, BASE)
    store.blobs[made.layers[0].digest] = data
    with pytest.raises(WriteError, match=says):
        await written(store, made)
    assert store.closed == len(store.read_once)


async def test_the_same_gives_the_same_bytes() -> None:
    store = Store()
    made = image(store, BASE, TOP)
    assert (await written(store, made)).read() == (await written(store, made)).read()


async def test_who_leaves_early_leaves_nothing_open() -> None:
    store = Store()
    async with aclosing(write([image(store, BASE)], store.read)) as chunks:
        async for _ in chunks:
            if store.read_once:
                break
    assert store.closed == 1
