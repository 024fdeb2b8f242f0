"""The images of the other tests are what their descriptions say, by the judgement of others."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import zstandard

from agent.registry.descriptor import CONFIG
from tests.system import imagelab, layerlab
from tests.system.imagelab import Built, Described
from tests.system.layerlab import Compression, directory, file, hard_link, layer, symlink
from tests.system.registrylab import Registry, registry

HALF_A_GIB = 512 << 20


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as started:
        yield started


def ran(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tar_of(blob: layerlab.Blob) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(blob.data))


def test_the_same_description_gives_the_same_bytes() -> None:
    def build() -> Built:
        noise = file("noise", layerlab.Noise(100_000, seed=7))
        return imagelab.image(layerlab.busybox("zstd"), layer(noise))

    assert build() == build()


# Docker's media type for zstd is newer than Debian's skopeo.
@pytest.mark.parametrize(
    ("compression", "docker"),
    [("", False), ("gzip", False), ("zstd", False), ("", True), ("gzip", True)],
)
def test_a_registry_takes_them(
    running: Registry, tmp_path: Path, compression: Compression, docker: bool
) -> None:
    content = layer(file("content", b"x"), compression=compression, docker=docker)
    image = imagelab.image(content, described=Described(docker))
    built = imagelab.index((image, imagelab.HERE), docker=docker)
    place = running.push(built, "kinds:1")

    ran(
        "skopeo",
        "copy",
        "--all",
        "--src-tls-verify=false",
        f"docker://{place}",
        f"dir:{tmp_path}/a",
    )
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == built.document
    assert (tmp_path / "a" / image.layers[0].digest.partition(":")[2]).exists()


def test_an_attested_image_is_chosen_by_its_platform(running: Registry) -> None:
    image = imagelab.image(layerlab.busybox())
    place = running.push(imagelab.attested(image), "attested:1")
    told = json.loads(ran("skopeo", "inspect", "--tls-verify=false", f"docker://{place}"))
    assert told["Layers"] == [image.layers[0].digest]


def test_a_layout_can_be_unpacked(tmp_path: Path) -> None:
    first = layer(
        directory("d", 0o1777).owned(5, 6),
        file("d/gone"),
        file("d/suid", b"s", 0o4755).having(user__key=b"v\0\xff"),
        hard_link("d/twin", "d/suid"),
        symlink("link", "d"),
        layerlab.device("null", 1, 3),
        layerlab.fifo("fifo"),
        directory("hidden"),
        file("hidden/file"),
    )
    second = layer(layerlab.whiteout("d/gone"), directory("hidden"), layerlab.opaque("hidden"))
    imagelab.write_layout(imagelab.image(first, second), tmp_path / "layout", "1")

    ran("umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:1", tmp_path / "root")
    root = tmp_path / "root"
    assert sorted(str(each.relative_to(root)) for each in root.rglob("*")) == [
        *("d", "d/suid", "d/twin", "fifo", "hidden", "link", "null")
    ]
    suid = (root / "d" / "suid").stat()
    assert (suid.st_mode & 0o7777, suid.st_nlink, suid.st_mtime) == (0o4755, 2, layerlab.MTIME)
    assert ((root / "d").stat().st_uid, (root / "d").stat().st_gid) == (5, 6)
    assert (root / "null").is_char_device()


def test_a_sparse_file_has_its_data_where_it_was_put() -> None:
    sparse = layerlab.sparse("big", HALF_A_GIB, {4096: b"begin", HALF_A_GIB - 3: b"end"})
    with tar_of(layer(sparse).blob()) as tar:
        assert tar.getnames() == ["big"]
        read = tar.extractfile("big")
        assert read is not None
        assert (tar.getmember("big").size, read.seek(4096), read.read(6)) == (
            *(HALF_A_GIB, 4096, b"begin\0"),
        )
        read.seek(HALF_A_GIB - 4)
        assert read.read() == b"\0end"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_bomb_is_small_and_becomes_big(compression: Literal["gzip", "zstd"]) -> None:
    bomb = layerlab.bomb(HALF_A_GIB, compression)
    assert len(bomb.data) < HALF_A_GIB // 500
    unpacked: gzip.GzipFile | zstandard.ZstdDecompressionReader
    if compression == "gzip":
        unpacked = gzip.open(io.BytesIO(bomb.data))  # noqa: SIM115 - closed below
    else:
        reader = zstandard.ZstdDecompressor()
        unpacked = reader.stream_reader(io.BytesIO(bomb.data), read_across_frames=True)
    with unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        assert [(each.name, each.size) for each in tar] == [("bomb", HALF_A_GIB)]


def test_a_wide_window_is_asked_for() -> None:
    wide = layerlab.wide_window().data
    assert zstandard.get_frame_parameters(wide).window_size == 1 << 31
    narrow = layerlab.wide_window(20).data
    assert zstandard.ZstdDecompressor().decompress(narrow, max_output_size=2048) == bytes(1024)


def test_what_no_builder_makes() -> None:
    one = imagelab.image(layer(file("../outside"), hard_link("/twin", "../../etc/passwd")))
    with tar_of(layer(file("../outside")).blob()) as tar:
        assert tar.getnames() == ["../outside"]
    many = imagelab.changed(one, lambda document: document.update(layers=document["layers"] * 900))
    assert len(many.document["layers"]) == 900
    assert many.root.digest == layerlab.digest_of(many.blobs[many.root.digest])
    deep = imagelab.nested(one, 5)
    assert (len(deep.manifests), len(deep.others)) == (5, 2)
    odd = imagelab.image(layer(), described=Described(diff_ids=()))
    assert odd.config is not None
    assert odd.config.media_type == CONFIG
    assert json.loads(odd.blobs[odd.config.digest])["rootfs"]["diff_ids"] == []
    old = imagelab.schema_1("old", "1", layer(file("x")))
    assert (old.root.media_type, len(old.others)) == (imagelab.SCHEMA_1, 1)


def test_noise_is_as_long_as_told() -> None:
    for size, kind in itertools.product((0, 1, 1 << 20, (1 << 20) + 1), ("zeros", "noise")):
        content = layerlab.Zeros(size) if kind == "zeros" else layerlab.Noise(size)
        assert sum(map(len, content.parts())) == size
