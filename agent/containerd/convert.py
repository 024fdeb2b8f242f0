"""Between protobuf messages that several services share and this package's own values."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from agent.containerd.pb import types_pb2
from agent.containerd.types import Descriptor, Mount


def mount_of(pb: types_pb2.Mount) -> Mount:
    return Mount(pb.type, pb.source, tuple(pb.options), pb.target)


def mounts_of(pbs: Iterable[types_pb2.Mount]) -> tuple[Mount, ...]:
    return tuple(mount_of(each) for each in pbs)


def mounts_to(mounts: Iterable[Mount]) -> list[types_pb2.Mount]:
    return [
        types_pb2.Mount(
            type=each.type, source=each.source, target=each.target, options=each.options
        )
        for each in mounts
    ]


def descriptor_of(pb: types_pb2.Descriptor) -> Descriptor:
    return Descriptor(pb.media_type, pb.digest, pb.size, dict(pb.annotations))


def descriptor_to(descriptor: Descriptor) -> types_pb2.Descriptor:
    return types_pb2.Descriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        annotations=dict(descriptor.annotations),
    )


def epoch(pb: Timestamp) -> float:
    """Seconds since the epoch; 0.0 for Go's zero time, which lies two thousand years before it."""
    return max(0.0, pb.seconds + pb.nanos / 1e9)
