"""Finding images, against a server that has just what a test puts there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError
from agent.containerd.pb import content_pb2, images_pb2, types_pb2
from agent.host.images.chains import chain_id
from agent.host.images.loading import LoadError
from agent.host.images.local import ImageMissing
from agent.host.images.obtaining import Images
from agent.host.images.stock.claims import Claims
from agent.registry import descriptor
from agent.task.model import Image
from tests.fakes.containerd import FakeContainerd, serving

GET = "/containerd.services.images.v1.Images/Get"
READ = "/containerd.services.content.v1.Content/Read"
LAYER = {"mediaType": descriptor.LAYER, "digest": f"sha256:{'0' * 64}", "size": 5}
NAME = "docker.io/library/web:latest"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}.get(
    os.uname().machine, os.uname().machine
)


class Stored:
    """Image records and blobs."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.records: dict[str, types_pb2.Descriptor] = {}

    def blob(self, media_type: str, document: object) -> dict[str, Any]:
        """Keeps the document; gives its descriptor."""
        data = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(self, **config: object) -> dict[str, Any]:
        """Keeps an image with this ``config``; gives the descriptor of its manifest."""
        whole = {"architecture": MACHINE, "os": "linux", "config": config}
        rootfs = {"rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]}}
        kept = self.blob(descriptor.CONFIG, whole | rootfs)
        return self.blob(descriptor.MANIFEST, {"config": kept, "layers": [LAYER]})

    def name(self, name: str, target: dict[str, Any]) -> None:
        self.records[name] = types_pb2.Descriptor(
            media_type=target["mediaType"], digest=target["digest"], size=target["size"]
        )


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture
async def images(stored: Stored, tmp_path: Path, claims: Claims) -> AsyncIterator[Images]:
    async def get(asked: images_pb2.GetImageRequest, context: Any) -> images_pb2.GetImageResponse:
        if asked.name not in stored.records:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
        return images_pb2.GetImageResponse(
            image=images_pb2.Image(name=asked.name, target=stored.records[asked.name])
        )

    async def read(
        asked: content_pb2.ReadContentRequest, context: Any
    ) -> AsyncIterator[content_pb2.ReadContentResponse]:
        if asked.digest not in stored.blobs:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        yield content_pb2.ReadContentResponse(data=stored.blobs[asked.digest])

    fake, socket = FakeContainerd(), tmp_path / "s"
    fake.answers[GET] = (images_pb2.GetImageRequest, get)
    fake.streams[READ] = (content_pb2.ReadContentRequest, read)
    async with serving(fake, socket), Containerd(socket, "ns") as client:
        yield Images(client, tmp_path / "spool", claims, 1 << 30)


async def test_a_short_name_means_the_whole_one(images: Images, stored: Stored) -> None:
    target = stored.image(StopSignal="SIGUSR1")
    stored.name(NAME, target)
    manifest = json.loads(stored.blobs[target["digest"]])
    assert await images.find("web") == Image(
        NAME, manifest["config"]["digest"], target["digest"], stop_signal=10
    )


async def test_an_index_gives_the_image_for_this_machine(images: Images, stored: Stored) -> None:
    ours, other = stored.image(User="ours"), stored.image(User="other")
    platforms = [
        other | {"platform": {"os": "linux", "architecture": "s390x"}},
        ours | {"platform": {"os": "linux", "architecture": MACHINE}},
    ]
    stored.name(NAME, stored.blob(descriptor.INDEX, {"manifests": platforms}))
    found = await images.find("web")
    assert (await images.unpacked(found.id)).config.user == "ours"


async def test_an_index_for_other_machines_is_no_image(images: Images, stored: Stored) -> None:
    other = stored.image() | {"platform": {"os": "linux", "architecture": "s390x"}}
    stored.name(NAME, stored.blob(descriptor.INDEX, {"manifests": [other]}))
    with pytest.raises(ImageMissing, match=f"linux/{MACHINE}"):
        await images.find("web")


async def test_a_missing_image_says_what_to_do(images: Images) -> None:
    with pytest.raises(ImageMissing, match="hostler image load"):
        await images.find("web")


async def test_an_image_with_another_digest_than_its_name_is_missing(
    images: Images, stored: Stored
) -> None:
    target, another = stored.image(User="own"), stored.image(User="another")
    own, forged = (f"docker.io/library/web@{each['digest']}" for each in (target, another))
    stored.name(own, target)
    stored.name(forged, target)
    assert (await images.find(own)).digest == target["digest"]
    with pytest.raises(ImageMissing):
        await images.find(forged)


async def test_a_name_that_is_none_is_missing(images: Images) -> None:
    with pytest.raises(ImageMissing):
        await images.find("No Such/Name")


async def test_an_image_that_is_being_removed_is_gone_before_it_can_be_found(
    images: Images, stored: Stored, claims: Claims
) -> None:
    stored.name(NAME, stored.image())
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        with claims.removing({NAME}):
            finding = group.create_task(_missing(images))
            await asyncio.sleep(0)
            assert not finding.done()
            stored.records.clear()
    assert "is not on this host" in finding.result()


async def _missing(images: Images) -> str:
    with pytest.raises(ImageMissing) as caught:
        await images.find("web")
    return str(caught.value)


async def test_an_image_that_was_moved_is_found_anew(images: Images, stored: Stored) -> None:
    stored.name(NAME, stored.image(User="before"))
    before = await images.find("web")
    stored.name(NAME, stored.image(User="after"))
    assert (await images.find("web")).id != before.id


async def test_an_image_with_two_names_is_shown_by_the_one_asked_for(
    images: Images, stored: Stored
) -> None:
    target = stored.image()
    stored.name(NAME, target)
    stored.name("docker.io/library/other:1", target)
    assert (await images.find("web")).name == NAME
    assert (await images.find("other:1")).name == "docker.io/library/other:1"


@pytest.mark.parametrize("document", [{}, {"config": {}}, {"config": {"digest": "sha256:0"}}, []])
async def test_a_manifest_that_makes_no_sense_ends_the_search(
    images: Images, stored: Stored, document: object
) -> None:
    stored.name(NAME, stored.blob(descriptor.MANIFEST, document))
    with pytest.raises((ImageMissing, ContainerdError)):
        await images.find("web")


async def test_what_is_no_archive_is_refused_before_containerd_is_asked(images: Images) -> None:
    async def nonsense() -> AsyncIterator[bytes]:
        yield b"hello"

    with pytest.raises(LoadError):
        await images.load(nonsense())


def test_chain_ids_are_those_of_the_oci_specification() -> None:
    def digest(text: str) -> str:
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    assert chain_id(()) == ""
    assert chain_id(("sha256:a",)) == "sha256:a"
    two = digest("sha256:a sha256:b")
    assert chain_id(("sha256:a", "sha256:b")) == two
    assert chain_id(("sha256:a", "sha256:b", "sha256:c")) == digest(f"{two} sha256:c")
