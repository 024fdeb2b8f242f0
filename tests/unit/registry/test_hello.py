import io
import json
import struct
import tarfile
from pathlib import Path

import pytest

from agent.registry.archives.archive import Archive
from agent.registry.hello import APPLETS, NAME, HelloError, build, find_busybox


def program(kind: int, machine: int = 0x3E) -> bytes:
    """A 64-bit ELF file with one program header (elf(5))."""
    start = b"\x7fELF\x02\x01\x01" + bytes(9)
    rest = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return start + rest + struct.pack("<IIQQQQQQ", kind, 0, 0, 0, 0, 0, 0, 0)


STATIC, DYNAMIC = program(1), program(3)


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    (tmp_path / "busybox").write_bytes(STATIC)
    return tmp_path / "busybox"


def layer_of(data: bytes) -> tarfile.TarFile:
    archive = Archive(io.BytesIO(data), "amd64")
    return tarfile.open(fileobj=io.BytesIO(b"".join(archive.blob(archive.images[0].layers[0]))))


def test_the_same_busybox_gives_the_same_bytes(busybox: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(STATIC)
    assert build(busybox) == build(tmp_path / "copy")


def test_the_image_has_its_name_and_configuration(busybox: Path) -> None:
    archive = Archive(io.BytesIO(build(busybox)), "amd64")
    (image,) = archive.images
    assert image.names == (NAME,)
    config = json.loads(b"".join(archive.blob(image.config)))
    assert config["config"]["Cmd"] == ["sh"]
    assert config["config"]["Env"][0].startswith("PATH=/")
    assert config["rootfs"]["diff_ids"] == [image.layers[0].digest]


def test_the_layer_has_all_that_a_program_expects(busybox: Path) -> None:
    with layer_of(build(busybox)) as layer:
        assert layer.getmember("bin/busybox").mode == 0o755
        assert layer.getmember("tmp").mode == 0o1777
        assert layer.getmember("var/www").isdir()
        assert {layer.getmember(f"bin/{name}").linkname for name in APPLETS.split()} == {"busybox"}
        passwd = layer.extractfile("etc/passwd")
        assert passwd is not None
        assert passwd.read().startswith(b"root:x:0:0:")
        assert layer.getnames() == sorted(layer.getnames())
        assert {(info.mtime, info.uid, info.gid) for info in layer} == {(0, 0, 0)}


def test_the_architecture_is_that_of_the_busybox(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(program(1, machine=0xB7))
    assert len(Archive(io.BytesIO(build(tmp_path / "busybox")), "arm64").images) == 1


def test_a_static_busybox_is_looked_for(busybox: Path, tmp_path: Path) -> None:
    (tmp_path / "dynamic").write_bytes(DYNAMIC)
    (tmp_path / "script").write_text("#!/bin/sh\n")
    places = (tmp_path / "none", tmp_path / "dynamic", tmp_path / "script", busybox)
    assert find_busybox(places) == busybox


def test_without_a_static_busybox_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(HelloError, match="install the package busybox-static"):
        find_busybox((tmp_path / "none",))


@pytest.mark.parametrize("data", [DYNAMIC, STATIC[:100], b"", program(1)[:4] + b"\x01" * 70])
def test_another_program_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "busybox").write_bytes(data)
    with pytest.raises(HelloError, match="not a static program"):
        build(tmp_path / "busybox")


def test_an_unknown_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(program(1, machine=2))
    with pytest.raises(HelloError, match="ELF 2"):
        build(tmp_path / "busybox")
