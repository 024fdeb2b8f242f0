"""What is unpacked from an image is what other tools unpack from it, from the same registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.system import imagelab, layerlab, trees, unpackers
from tests.system.containerd_daemon import DaemonPaths
from tests.system.imagelab import Built
from tests.system.layerlab import (
    Noise,
    Zeros,
    device,
    directory,
    fifo,
    file,
    hard_link,
    layer,
    opaque,
    sparse,
    symlink,
    whiteout,
)
from tests.system.registrylab import Registry, registry
from tests.system.trees import Tree

NAMESPACE = "trees"
MIB = 1 << 20
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service=ep, as ``setcap`` writes it (version 2)."""


LONG = "n" * 200
IMPLIED = (".", "d", "d/deep", "d/deep/with", "d/deep/with/no", LONG)
"""Directories that some layer has something in and does not name: made when it is unpacked.

The root is always among them: neither tool minds an entry of that name."""


def rich() -> Built:
    """Whatever a layer may have, and what a layer may do to those below."""
    lowest = layer(
        *layerlab.busybox().entries,
        directory("d", 0o1777).owned(5, 6),
        file("d/suid", b"s" * 1000, 0o4755),
        file("d/sgid", b"g", 0o2750).owned(1000, 1000),
        hard_link("d/twin", "d/suid"),
        hard_link("e", "d/suid"),
        file("d/capable", b"c", 0o755).having(security__capability=CAPABILITY),
        file("d/attributes", b"a").having(user__one=b"v\0\xff", user__two=b""),
        directory("d/deep/with/no/parents", 0o700),
        symlink("absolute", "/d/suid"),
        symlink("dangling", "nowhere"),
        symlink("dlink", "d"),
        device("null", 1, 3).owned(0, 6),
        device("loop", 7, 0, layerlab.BLOCK),
        fifo("fifo"),
        file("changes", b"before"),
        file("mode", b"same"),
        file("gone"),
        directory("vanishes"),
        file("vanishes/too"),
        directory("hidden", 0o711),
        file("hidden/file"),
        directory("hidden/folder"),
        directory("becomes-file"),
        file("becomes-file/inside"),
        file("becomes-folder"),
        file("ünï-cöde ☃"),
        file(f"{LONG}/{LONG}", b"long"),
    )
    middle = layer(
        whiteout("gone"),
        whiteout("vanishes"),
        directory("hidden", 0o755),
        opaque("hidden"),
        file("hidden/new"),
        file("changes", b"after!", 0o600),
        file("mode", b"same", 0o400).owned(7, 8),
        whiteout("d/twin"),
        file("becomes-file"),
        directory("becomes-folder"),
        file("becomes-folder/inside"),
        file("d/added-without-its-parent"),
        compression="zstd",
    )
    highest = layer(
        directory("./", 0o751).owned(3, 4),
        file("gone", b"again"),
        file("noise", Noise(3 * MIB)),
        file("zeros", Zeros(20 * MIB)),
        sparse("sparse", 64 * MIB, {MIB: b"data", 64 * MIB - 1: b"x"}),
        compression="",
    )
    return imagelab.image(lowest, middle, highest)


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as started:
        yield started


@pytest.fixture(scope="module")
def reference(running: Registry) -> str:
    return running.push(rich(), "rich:1")


@pytest.fixture(scope="module")
def ctr(containerd: DaemonPaths, reference: str) -> Tree:
    return timeless(unpacked_by_ctr(containerd, reference), *IMPLIED)


def unpacked_by_ctr(containerd: DaemonPaths, reference: str) -> Tree:
    unpackers.by_ctr(containerd, reference, NAMESPACE)
    with unpackers.mounted_by_ctr(containerd, reference, NAMESPACE) as root:
        return trees.read(root)


def unpacked_by_podman(reference: str) -> Tree:
    with unpackers.mounted_by_podman(reference) as root:
        return trees.read(root)


def timeless(tree: Tree, *paths: str) -> Tree:
    """The same without the times of these, which are those of unpacking."""
    return {path: replace(node, mtime=0) if path in paths else node for path, node in tree.items()}


def test_ctr_and_podman(ctr: Tree, reference: str) -> None:
    """They agree, but for three things in which we follow containerd.

    The root is what a program may expect of one, whatever the layers say. A layer with a file in a
    directory that it doesn't name leaves that directory as it was, where podman makes it anew. And
    an empty extended attribute is one.
    """
    assert trees.differences(ctr, timeless(unpacked_by_podman(reference), *IMPLIED)) == [
        ".: mode 493 365",
        "d: mode 1023 493",
        "d: uid 5 0",
        "d: gid 6 0",
        "d/attributes: xattrs {'user.one': b'v\\x00\\xff', 'user.two': b''}"
        " {'user.one': b'v\\x00\\xff'}",
    ]
