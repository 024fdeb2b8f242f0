"""Archives against the tools that others make and read them with."""

import gzip
import json
import platform
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agent.registry import hello
from agent.registry.archives.archive import Archive
from agent.registry.archives.writing import write
from agent.registry.descriptor import Descriptor

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

pytestmark = pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")


def skopeo(*arguments: str) -> str:
    command = ["skopeo", "--insecure-policy", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def oci(tmp_path: Path) -> Path:
    path = tmp_path / "hello.tar"
    path.write_bytes(hello.build(hello.find_busybox()))
    return path


def test_skopeo_reads_the_hello_image(oci: Path) -> None:
    seen: dict[str, Any] = json.loads(skopeo("inspect", f"oci-archive:{oci}"))
    with oci.open("rb") as file:
        (image,) = Archive(file, ARCHITECTURE).images
    assert seen["Digest"] == image.manifest.digest
    assert seen["Layers"] == [layer.digest for layer in image.layers]
    assert (seen["Os"], seen["Architecture"]) == ("linux", ARCHITECTURE)


def test_an_archive_as_docker_save_makes_it_is_read(oci: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.tar"
    skopeo("copy", f"oci-archive:{oci}", f"docker-archive:{saved}:hostler/hello:latest")
    with oci.open("rb") as one, saved.open("rb") as two:
        ours, theirs = Archive(one, ARCHITECTURE), Archive(two, ARCHITECTURE)
        (image,) = theirs.images
        assert image.names == (hello.NAME,)
        assert image.layers == ours.images[0].layers
        config = json.loads(b"".join(theirs.blob(image.config)))
        assert config["config"]["Cmd"] == ["sh"]
        for layer in image.layers:
            assert sum(map(len, theirs.blob(layer))) == layer.size


def test_an_image_that_skopeo_compressed_is_read(oci: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.tar"
    skopeo("copy", "--dest-compress", f"oci-archive:{oci}", f"oci-archive:{packed}:a/b:1")
    with packed.open("rb") as file:
        archive = Archive(file, ARCHITECTURE)
        (image,) = archive.images
        assert image.names == ("docker.io/a/b:1",)
        assert b"".join(archive.blob(image.layers[0]))[:2] == b"\x1f\x8b"


def test_the_programs_in_the_hello_image_run(oci: Path, tmp_path: Path) -> None:
    with oci.open("rb") as file:
        archive = Archive(file, ARCHITECTURE)
        layer = b"".join(archive.blob(archive.images[0].layers[0]))
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-x", "-C", root], input=layer, check=True)
    command = ["chroot", str(root), "/usr/bin/env", "sh", "-c", "id -un; cat /var/www/index.html"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == "root\nHello from Hostler\n"


@pytest.fixture
async def rewritten(oci: Path, tmp_path: Path) -> Path:
    """The hello image, compressed by skopeo, then read and written by us."""
    packed, path = tmp_path / "packed.tar", tmp_path / "rewritten.tar"
    source, target = f"oci-archive:{oci}", f"oci-archive:{packed}:{hello.NAME}"
    skopeo("copy", "--dest-compress", source, target)
    with packed.open("rb") as file, Archive(file, ARCHITECTURE) as archive, path.open("wb") as out:

        async def read(blob: Descriptor) -> AsyncGenerator[bytes]:
            for chunk in archive.blob(blob):
                yield chunk

        async for chunk in write(archive.images, read):
            out.write(chunk)
    return path


def test_skopeo_copies_from_an_archive_that_we_wrote(rewritten: Path, tmp_path: Path) -> None:
    target = tmp_path / "copied.tar"
    skopeo("copy", f"oci-archive:{rewritten}:{hello.NAME}", f"docker-archive:{target}:a/b:1")
    with rewritten.open("rb") as one, target.open("rb") as two:
        ours, theirs = Archive(one, ARCHITECTURE), Archive(two, ARCHITECTURE)
        (layer,) = ours.images[0].layers
        (plain,) = theirs.images[0].layers
        assert gzip.decompress(b"".join(ours.blob(layer))) == b"".join(theirs.blob(plain))


def test_skopeo_takes_it_for_what_docker_saves_too(rewritten: Path) -> None:
    config = json.loads(skopeo("inspect", "--config", f"docker-archive:{rewritten}:{hello.NAME}"))
    assert config["config"]["Cmd"] == ["sh"]


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_podman_loads_an_archive_that_we_wrote(rewritten: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pod") as run:  # 50 characters at most
        podman = ["podman", "--root", f"{tmp_path}/root", "--runroot", run]
        podman += ["--tmpdir", f"{run}/tmp", "--storage-driver", "vfs"]
        podman += ["--events-backend", "none"]
        subprocess.run([*podman, "load", "-i", str(rewritten)], check=True, capture_output=True)
        listed = subprocess.run(
            [*podman, "images", "--format", "json"], check=True, capture_output=True, text=True
        )
    (image,) = json.loads(listed.stdout)
    assert image["Names"] == [hello.NAME]


def test_an_archive_compressed_with_zstd_is_read(oci: Path, tmp_path: Path) -> None:
    packed = tmp_path / "hello.tar.zst"
    packed.write_bytes(zstandard.ZstdCompressor().compress(oci.read_bytes()))
    with packed.open("rb") as file, Archive(file, ARCHITECTURE) as archive:
        assert archive.images[0].names == (hello.NAME,)
