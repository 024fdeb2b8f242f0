"""The look through a layer against containerd: what passes it can be unpacked, and what containerd
refuses does not pass."""

from __future__ import annotations

import gzip
import time
import uuid
from contextlib import suppress

import pytest
import zstandard

from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, DeadlineExceeded, NotFound, Unavailable
from agent.containerd.types import Descriptor
from agent.registry.descriptor import DOCKER_LAYER, DOCKER_LAYER_GZIP, LAYER, LAYER_GZIP, LAYER_ZSTD
from agent.registry.layers.check import LayerCheck, LayerError
from tests.system.containerd_daemon import DaemonPaths, digest_of, one_chunk
from tests.unit.registry.layertars import END, member, padded, pax

SMALL = member("a", b"5") + member("a/b", data=b"hello") + END
ZSTD = zstandard.ZstdCompressor().compress(SMALL)
SKIPPABLE = b"\x50\x2a\x4d\x18\x05\0\0\0abcde"
SPARSE = pax(
    ("GNU.sparse.major", b"1"),
    ("GNU.sparse.minor", b"0"),
    ("GNU.sparse.name", b"a"),
    ("GNU.sparse.realsize", b"9000"),
) + member("GNUSparseFile.0/a", data=padded(b"1\n0\n5\n") + b"hello")
OLDEST_SPARSE = pax(
    ("GNU.sparse.size", b"9000"),
    ("GNU.sparse.numblocks", b"1"),
    ("GNU.sparse.offset", b"0"),
    ("GNU.sparse.numbytes", b"5"),
) + member("a", data=b"hello")

TAKEN = {
    "absolute names": (member("/etc/x") + END, LAYER),
    "dots that stay inside": (member("a", b"5") + member("a/../b") + END, LAYER),
    "a whiteout": (member("a", b"5") + member("a/.wh.b") + END, LAYER),
    "a folder as version 7 writes it": (member("a/", b"\0") + member("a/b", b"\0") + END, LAYER),
    "a device, a fifo": (member("a", b"3") + member("b", b"6") + END, LAYER),
    "a hard link": (member("a") + member("b", b"1", link="/a") + END, LAYER),
    "a path through a link": (member("a", b"2", link="/etc") + member("a/b") + END, LAYER),
    "a global header": (pax(("comment", b"x"), kind=b"g") + member("a") + END, LAYER),
    "a long name": (member("L", b"L", b"a" * 200 + b"\0") + member("x") + END, LAYER),
    "a prefix": (member("b", prefix=b"a") + END, LAYER),
    "a file with a hole": (SPARSE + END, LAYER),
    "a file with a hole, as first written": (OLDEST_SPARSE + END, LAYER),
    "no end": (SMALL[: 512 * 3], LAYER),
    "no end, no filling": (SMALL[: 512 * 2 + 5], LAYER),
    "something after the end": (SMALL + b"x" * 1000, LAYER),
    "nothing": (b"", LAYER),
    "gzip": (gzip.compress(SMALL), LAYER_GZIP),
    "gzip that says nothing": (gzip.compress(SMALL), DOCKER_LAYER),
    "gzip in parts": (gzip.compress(SMALL[:700]) + gzip.compress(SMALL[700:]), LAYER_GZIP),
    "tar that says gzip": (SMALL, DOCKER_LAYER_GZIP),
    "zstd": (ZSTD, LAYER_ZSTD),
    "zstd that says gzip": (ZSTD, LAYER_GZIP),
    "zstd in parts, some to skip": (SKIPPABLE + ZSTD + SKIPPABLE + ZSTD, LAYER_ZSTD),
}
REFUSED = {
    "a contiguous file": (member("a", b"7") + END, LAYER),
    "an old sparse file": (member("a", b"S", magic=b"ustar  \0") + END, LAYER),
    "an unknown kind": (member("a", b"Z") + END, LAYER),
    "a whiteout of a folder itself": (member("a/.wh.") + END, LAYER),
    "a whiteout of a folder's parent": (member("a/.wh...") + END, LAYER),
    "a hard link to nothing": (member("a", b"1") + END, LAYER),
    "a path beyond all bounds": (pax(("path", b"a/" * 2100 + b"a")) + member("a") + END, LAYER),
    "a cut header": (SMALL[:700], LAYER),
    "cut content": (SMALL[: 512 * 2 + 3], LAYER),
    "a wrong sum": (member("a", sum=b"0000001\0") + END, LAYER),
    "zeros, then more": (SMALL[:1536] + bytes(512) + SMALL, LAYER),
    "gzip that says tar": (gzip.compress(SMALL), LAYER),
    "damaged pax": (member("x", b"x", b"7 a=b\n") + member("a") + END, LAYER),
    "cut gzip": (gzip.compress(SMALL)[:-3], LAYER_GZIP),
    "cut zstd": (ZSTD[:-3], LAYER_ZSTD),
}


def passes(layer: bytes, media_type: str) -> bool:
    check = LayerCheck(media_type, 1 << 30)
    try:
        check.feed(layer)
        check.finish()
    except LayerError:
        return False
    return True


async def unpacks(paths: DaemonPaths, layer: bytes, media_type: str) -> bool:
    """Whether containerd does; nothing of it stays."""
    async with Containerd(paths.socket, namespace="layers") as client:
        key, digest = f"layer-{uuid.uuid4().hex}", digest_of(layer)
        await client.leases.create(key, expires_at=time.time() + 60)
        leased = client.with_lease(key)
        try:
            await leased.content.write(key, one_chunk(layer), size=len(layer), digest=digest)
            mounts = await leased.snapshots.prepare(key, "")
            await leased.diff.apply(Descriptor(media_type, digest, len(layer)), mounts)
        except (DeadlineExceeded, Unavailable):
            raise  # which says nothing of the layer
        except ContainerdError:
            return False
        finally:
            with suppress(NotFound):
                await client.snapshots.remove(key)
            await client.leases.delete(key)
    return True


@pytest.mark.parametrize("case", TAKEN)
async def test_containerd_unpacks_what_passes(containerd: DaemonPaths, case: str) -> None:
    layer, media_type = TAKEN[case]
    assert passes(layer, media_type)
    assert await unpacks(containerd, layer, media_type)


@pytest.mark.parametrize("case", REFUSED)
async def test_what_containerd_refuses_does_not_pass(containerd: DaemonPaths, case: str) -> None:
    layer, media_type = REFUSED[case]
    assert not await unpacks(containerd, layer, media_type)
    assert not passes(layer, media_type)
