"""Loading archives into a real containerd; some are made on purpose to do harm."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.containerd.client import Containerd
from agent.host.images.loading import Loader, LoadError
from agent.registry.descriptor import LAYER
from tests.system import imagelab
from tests.system.containerd_daemon import DaemonPaths, one_chunk
from tests.system.imagelab import Built
from tests.system.layerlab import (
    Blob,
    Layer,
    bomb,
    busybox,
    digest_of,
    directory,
    file,
    hard_link,
    layer,
)
from tests.system.test_image_pull import MIB, emptied, everything

LIMIT = 128 * MIB
NAME = "registry.test/app:1"


@pytest.fixture
async def client(containerd: DaemonPaths) -> AsyncIterator[Containerd]:
    async with emptied(containerd) as made:
        yield made


@pytest.fixture
def loader(client: Containerd, tmp_path: Path) -> Loader:
    return Loader(client, tmp_path / "spool", LIMIT)


def archived(built: Built, folder: Path, name: str = NAME) -> bytes:
    imagelab.write_layout(built, folder, name)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, ".")
    return out.getvalue()


async def test_an_archive_becomes_an_image(
    client: Containerd, loader: Loader, tmp_path: Path
) -> None:
    built = imagelab.image(busybox(), layer(directory("d"), file("d/f", b"x")))
    assert await loader.load(one_chunk(archived(built, tmp_path / "a"))) == (NAME,)
    assert (await client.images.get(NAME)).target.digest == built.root.digest
    assert (await client.snapshots.stat(built.chain_id)).name == built.chain_id


BAD: dict[str, tuple[Layer | Blob, str]] = {
    "a bomb": (bomb(256 * MIB), "more than 134217728 bytes when unpacked"),
    "a path that climbs": (layer(file("../f")), "leads out of the image"),
    "a link that climbs": (layer(hard_link("f", "../../f")), "leads out of the image"),
    "what is no layer": (Blob(LAYER, b"x" * 5000, digest_of(b"x" * 5000)), "a number that is none"),
}


@pytest.mark.parametrize("case", BAD)
async def test_layers_are_looked_through_before_anything_is_unpacked(
    client: Containerd, loader: Loader, tmp_path: Path, case: str
) -> None:
    bad, says = BAD[case]
    built = imagelab.image(busybox(), bad)
    with pytest.raises(LoadError, match=f"layer {built.layers[1].digest}: .*{says}"):
        await loader.load(one_chunk(archived(built, tmp_path / "a")))
    assert await everything(client) == []
    assert list((tmp_path / "spool").iterdir()) == []


async def test_of_an_archive_with_other_bytes_than_it_says_nothing_stays(
    client: Containerd, loader: Loader, tmp_path: Path
) -> None:
    good = imagelab.image(busybox(), layer(file("f", b"good"), compression=""))
    forged = layer(file("f", b"evil"), compression="").blob().data
    bad = imagelab.swapped(good, good.layers[1].digest, forged)
    with pytest.raises(LoadError, match=f"instead of {good.layers[1].digest}"):
        await loader.load(one_chunk(archived(bad, tmp_path / "a")))
    assert await everything(client) == []


async def test_a_layer_that_is_not_what_the_config_says_is_refused(
    client: Containerd, loader: Loader, tmp_path: Path
) -> None:
    lying = replace(layer(file("f")).blob(), diff_id=digest_of(b"another"))
    built = imagelab.image(busybox(), lying)
    with pytest.raises(LoadError, match="the image's config says"):
        await loader.load(one_chunk(archived(built, tmp_path / "a")))
    assert await everything(client) == []


async def test_no_image_is_called_by_the_digest_of_another(
    client: Containerd, loader: Loader, tmp_path: Path
) -> None:
    built = imagelab.image(busybox())
    forged = f"registry.test/app@{digest_of(b'another')}"
    with pytest.raises(LoadError, match="has no name"):
        await loader.load(one_chunk(archived(built, tmp_path / "a", forged)))
    assert await everything(client) == []
    own = f"registry.test/app@{built.root.digest}"
    assert await loader.load(one_chunk(archived(built, tmp_path / "b", own))) == (own,)
