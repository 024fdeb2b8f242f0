"""What tools unpack from the same image, from the same registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.system import imagezoo, trees, unpackers
from tests.system.containerd_daemon import DaemonPaths
from tests.system.registrylab import Registry, registry
from tests.system.trees import Tree

NAMESPACE = "trees"
IMPLIED = (".", *imagezoo.IMPLIED)
"""Their times are those of unpacking. The root is always among them: an entry for it is ignored."""


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as started:
        yield started


def test_ctr_and_podman(containerd: DaemonPaths, running: Registry) -> None:
    """They agree, but for three things in which we follow containerd.

    The root is what a program may expect of one, whatever the layers say. A layer with a file in a
    directory that it doesn't name leaves that directory as it was, where podman makes it anew. And
    an empty extended attribute is one.
    """
    reference = running.push(imagezoo.rich(), "others/rich:1")
    with unpackers.mounted_by_podman(reference) as root:
        podman = timeless(trees.read(root))
    assert trees.differences(by_ctr(containerd, reference), podman) == [
        ".: mode 493 365",
        "d: mode 1023 493",
        "d: uid 5 0",
        "d: gid 6 0",
        "d/attributes: xattrs {'user.one': b'v\\x00\\xff', 'user.two': b''}"
        " {'user.one': b'v\\x00\\xff'}",
    ]


def by_ctr(containerd: DaemonPaths, reference: str) -> Tree:
    unpackers.by_ctr(containerd, reference, NAMESPACE)
    with unpackers.mounted_by_ctr(containerd, reference, NAMESPACE) as root:
        return timeless(trees.read(root))


def timeless(tree: Tree) -> Tree:
    """The same without the times of what is made when an image is unpacked."""
    return {
        path: replace(node, mtime=0) if path in IMPLIED else node for path, node in tree.items()
    }
