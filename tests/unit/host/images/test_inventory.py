"""What is read of the images on a host."""

from __future__ import annotations

import json

import pytest

from agent.containerd.client import Containerd
from agent.host.images.local import ImageMissing
from agent.host.images.stock.claims import snapshot
from agent.host.images.stock.inventory import Inventory, pick
from agent.host.images.stock.retention import Stored
from agent.registry import descriptor
from tests.unit.host.images.shelf import Shelf


@pytest.fixture
def inventory(client: Containerd) -> Inventory:
    return Inventory(client)


async def test_records_of_one_digest_are_one_image(inventory: Inventory, shelf: Shelf) -> None:
    digest = shelf.image("x.io/a:1", f"x.io/a@{'d' * 9}", layers=("one", "two"), pulled_at="5")
    shelf.image("x.io/b:1", pulled_at="5")
    first, second = await inventory.images()
    assert (first.names, second.names) == (("x.io/a:1", f"x.io/a@{'d' * 9}"), ("x.io/b:1",))
    assert (first.digest, first.size, first.created_at) == (digest, 6, 1_000_000_000.0)
    manifest = json.loads(shelf.blobs[digest])
    assert first.id == manifest["config"]["digest"]
    layers = {each["digest"] for each in manifest["layers"]}
    assert first.pieces > {digest, first.id, *layers}
    assert len(first.pieces) == 6  # and two snapshots


async def test_times_are_those_of_the_labels(inventory: Inventory, shelf: Shelf) -> None:
    digest = shelf.image("x.io/a:1", pulled_at="5.5", used_at="7")
    record = shelf.records["x.io/a:1"].target
    target = {"mediaType": record.media_type, "digest": digest, "size": record.size}
    shelf.name("x.io/a:2", target, pulled_at="6", used_at="nonsense")
    (image,) = await inventory.images()
    assert (image.pulled_at, image.used_at) == (6.0, 7.0)
    shelf.name("x.io/a@sha256:0", target)
    (image,) = await inventory.images()
    assert image.pulled_at == 6.0  # a digest is no name that anybody gave
    shelf.name("x.io/mine:1", target)
    (image,) = await inventory.images()
    assert image.pulled_at is None  # loaded by hand as well


async def test_what_is_left_of_an_image_has_the_time_of_its_digest(
    inventory: Inventory, shelf: Shelf
) -> None:
    shelf.image("x.io/a@sha256:0", pulled_at="6")
    (image,) = await inventory.images()
    assert (image.tags, image.pulled_at, image.used_at) == ((), 6.0, None)


@pytest.mark.parametrize(
    "manifest", [b"{}", b"[]", b"no", b'{"config": {"digest": "sha256:0"}}', b""]
)
async def test_an_image_that_can_not_be_read_is_listed_all_the_same(
    inventory: Inventory, shelf: Shelf, manifest: bytes
) -> None:
    target = shelf.blob(descriptor.MANIFEST, manifest)
    shelf.name("x.io/a:1", target)
    shelf.image("x.io/b:1")
    broken, whole = await inventory.images()
    assert broken == Stored(
        target["digest"], "", ("x.io/a:1",), pieces=frozenset({target["digest"]})
    )
    assert whole.id
    with pytest.raises(ImageMissing, match=r"x\.io/a:1 can't be read"):
        await inventory.contents(broken)


async def test_contents_are_config_and_layers(inventory: Inventory, shelf: Shelf) -> None:
    shelf.image("x.io/a:1", layers=("one", "three"))
    (image,) = await inventory.images()
    contents = await inventory.contents(image)
    assert contents.config.cmd == ("/run", "one", "three")
    assert [each.size for each in contents.parts.layers] == [3, 5]
    assert contents.pieces == image.pieces


async def test_an_index_is_a_piece_of_its_image(inventory: Inventory, shelf: Shelf) -> None:
    digest = shelf.image("x.io/a:1")
    record = shelf.records["x.io/a:1"].target
    entry = {"mediaType": record.media_type, "digest": digest, "size": record.size}
    index = shelf.blob(descriptor.INDEX, json.dumps({"manifests": [entry]}).encode())
    shelf.name("x.io/b:1", index)
    plain, indexed = await inventory.images()
    assert indexed.digest == index["digest"]
    assert indexed.id == plain.id
    assert indexed.pieces == plain.pieces | {indexed.digest}


async def test_what_is_there_has_its_weight(inventory: Inventory, shelf: Shelf) -> None:
    digest = shelf.image("x.io/a:1", layers=("one",))
    (image,) = await inventory.images()
    (layer,) = json.loads(shelf.blobs[digest])["layers"]
    weights = await inventory.weights([image])
    assert weights[layer["digest"]] == 3
    assert weights[snapshot(layer["digest"])] == 1000
    assert weights[digest] == len(shelf.blobs[digest])
    del shelf.blobs[layer["digest"]]
    assert layer["digest"] not in await inventory.weights([image])
    assert await inventory.weights([]) == {}


@pytest.mark.parametrize(
    ("created", "at"),
    [
        ("2001-09-09T01:46:40Z", 1e9),
        ("2001-09-09T01:46:40.123456789Z", 1_000_000_000.123456),
        ("2001-09-09T01:46:40", 1e9),
        ("2001-09-09T02:46:40+01:00", 1e9),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
    ],
)
async def test_when_an_image_was_made_is_what_its_config_says(
    inventory: Inventory, shelf: Shelf, created: str, at: float | None
) -> None:
    shelf.image("x.io/a:1", created=created)
    (image,) = await inventory.images()
    assert image.created_at == at


DIGEST = "sha256:" + "a" * 64
ID = "sha256:" + "b" * 64


def stored(*names: str, digest: str = DIGEST, id_: str = ID) -> Stored:
    return Stored(digest, id_, names)


@pytest.mark.parametrize(
    "text", ["web", "docker.io/library/web:latest", DIGEST, DIGEST[:19], ID[:20]]
)
def test_an_image_is_found_by_name_digest_or_id(text: str) -> None:
    web = stored("docker.io/library/web:latest")
    other = stored("x.io/web:1", digest="sha256:" + "c" * 64, id_="sha256:" + "d" * 64)
    assert pick([other, web], text) == web


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web:2", "there is no image web:2: 'hostler image ls' shows"),
        ("sha256:" + "e" * 12, "there is no image sha256:"),
        ("sha256:" + "a" * 11, "there is no image sha256:"),  # a name, if anything
        ("Web", "lower case"),
        ("", "empty"),
        ("sha256:" + "a" * 12, "2 images begin with"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(text: str, said: str) -> None:
    images = [stored("x.io/a:1"), stored("x.io/b:1", digest=DIGEST[:-1] + "b", id_="")]
    with pytest.raises(ImageMissing, match=said):
        pick(images, text)
