"""What is unpacked from an image is what other tools unpack from it, from the same registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from agent.containerd.client import Containerd
from agent.host.images.arriving.pulling import Puller
from agent.host.images.pulls import Pulls
from agent.registry import reference as references
from agent.registry.logins.login import Login
from agent.registry.remote.registries import Registries, RemoteSettings
from tests.system import imagezoo, trees, unpackers
from tests.system.containerd_daemon import DaemonPaths, private_containerd
from tests.system.imagelab import Built
from tests.system.registrylab import Registry, registry
from tests.system.trees import Tree

NAMESPACE = "trees"
IMPLIED = (".", *imagezoo.IMPLIED)
"""Their times are those of unpacking. The root is always among them: an entry for it is ignored."""

SETTINGS = RemoteSettings((), frozenset(), stall_s=60.0, manifest_s=60.0)
PARALLEL, LIMIT = 6, 1 << 30


class NoLogin:
    async def login(self, host: str, repository: str) -> Login | None:
        return None


@pytest.fixture(scope="module")
def running() -> Iterator[Registry]:
    with registry() as started:
        yield started


@pytest.fixture(scope="module")
def own() -> Iterator[DaemonPaths]:
    """Another containerd, which has nothing of what ctr has pulled."""
    with private_containerd() as paths:
        yield paths


@pytest.mark.parametrize("build", [imagezoo.rich, imagezoo.many, imagezoo.big])
async def test_ours_and_ctr(
    containerd: DaemonPaths, own: DaemonPaths, running: Registry, build: Callable[[], Built]
) -> None:
    """Byte for byte, with modes, owners, times, links and attributes."""
    reference = running.push(build(), f"ours/{build.__name__}:1")
    await pull(own, reference)
    with unpackers.mounted_by_ctr(own, reference, NAMESPACE) as root:
        ours = timeless(trees.read(root))
    assert trees.differences(ours, by_ctr(containerd, reference)) == []


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


async def pull(containerd: DaemonPaths, reference: str) -> None:
    name = references.parse(reference)
    async with (
        Containerd(containerd.socket, NAMESPACE) as client,
        Registries(SETTINGS) as registries,
    ):
        await client.namespaces.ensure(NAMESPACE)
        repository = registries.repository(name, NoLogin())
        with Pulls().begin(reference) as shown:
            target = await repository.resolve()
            await Puller(client, PARALLEL, LIMIT).pull(repository, name, target, shown)


def timeless(tree: Tree) -> Tree:
    """The same without the times of what is made when an image is unpacked."""
    return {
        path: replace(node, mtime=0) if path in IMPLIED else node for path, node in tree.items()
    }
