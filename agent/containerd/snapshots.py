"""Snapshots of one snapshotter: the layers of images and the writable roots of containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.empty_pb2 import Empty

from agent.containerd.convert import mounts_of
from agent.containerd.pb import snapshots_pb2 as pb
from agent.containerd.rpc import METADATA_S, STALL_S, TASK_S, Rpc
from agent.containerd.types import Mount, SnapshotInfo, SnapshotKind

_SNAPSHOTS = "/containerd.services.snapshots.v1.Snapshots/"


class Snapshots:
    def __init__(self, rpc: Rpc, snapshotter: str) -> None:
        self._rpc = rpc
        self.snapshotter = snapshotter

    async def prepare(
        self,
        key: str,
        parent: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        timeout: float = METADATA_S,
    ) -> tuple[Mount, ...]:
        """A writable snapshot on top of ``parent`` (a committed one; empty: nothing).

        It may be collected at once unless a lease, a container record or the gc.root label holds
        it. AlreadyExists if the key is taken.
        """
        request = pb.PrepareSnapshotRequest(
            snapshotter=self.snapshotter, key=key, parent=parent, labels=labels
        )
        reply = await self._rpc.unary(
            _SNAPSHOTS + "Prepare", request, pb.PrepareSnapshotResponse, about=key, timeout=timeout
        )
        return mounts_of(reply.mounts)

    async def view(
        self,
        key: str,
        parent: str,
        *,
        labels: Mapping[str, str] | None = None,
        timeout: float = METADATA_S,
    ) -> tuple[Mount, ...]:
        """A read-only snapshot of ``parent``; held and refused like a prepared one."""
        request = pb.ViewSnapshotRequest(
            snapshotter=self.snapshotter, key=key, parent=parent, labels=labels
        )
        reply = await self._rpc.unary(
            _SNAPSHOTS + "View", request, pb.ViewSnapshotResponse, about=key, timeout=timeout
        )
        return mounts_of(reply.mounts)

    async def mounts(self, key: str, *, timeout: float = METADATA_S) -> tuple[Mount, ...]:
        """The mounts of an active snapshot or a view; NotFound otherwise."""
        request = pb.MountsRequest(snapshotter=self.snapshotter, key=key)
        reply = await self._rpc.unary(
            _SNAPSHOTS + "Mounts", request, pb.MountsResponse, about=key, timeout=timeout
        )
        return mounts_of(reply.mounts)

    async def commit(
        self,
        name: str,
        key: str,
        *,
        labels: Mapping[str, str] | None = None,
        timeout: float = TASK_S,
    ) -> None:
        """Turn the active snapshot ``key`` into the committed one ``name``; ``key`` is gone then.

        AlreadyExists if ``name`` is there. The snapshotter measures the tree, which takes a while.
        """
        request = pb.CommitSnapshotRequest(
            snapshotter=self.snapshotter, name=name, key=key, labels=labels
        )
        await self._rpc.unary(_SNAPSHOTS + "Commit", request, Empty, about=name, timeout=timeout)

    async def remove(self, key: str, *, timeout: float = TASK_S) -> None:
        """Remove a snapshot; FailedPrecondition while others stand on it."""
        request = pb.RemoveSnapshotRequest(snapshotter=self.snapshotter, key=key)
        await self._rpc.unary(_SNAPSHOTS + "Remove", request, Empty, about=key, timeout=timeout)

    async def stat(self, key: str, *, timeout: float = METADATA_S) -> SnapshotInfo:
        """What is known of the snapshot of that key or name; NotFound otherwise."""
        request = pb.StatSnapshotRequest(snapshotter=self.snapshotter, key=key)
        reply = await self._rpc.unary(
            _SNAPSHOTS + "Stat", request, pb.StatSnapshotResponse, about=key, timeout=timeout
        )
        return _info_of(reply.info)

    async def usage(self, key: str, *, timeout: float = METADATA_S) -> int:
        """Bytes that the snapshot takes by itself, without its parents; NotFound otherwise."""
        request = pb.UsageRequest(snapshotter=self.snapshotter, key=key)
        reply = await self._rpc.unary(
            _SNAPSHOTS + "Usage", request, pb.UsageResponse, about=key, timeout=timeout
        )
        return int(reply.size)

    async def list(
        self, filters: Iterable[str] = (), *, stall: float = STALL_S
    ) -> tuple[SnapshotInfo, ...]:
        """All snapshots that match any of ``filters``; no filter: all."""
        request = pb.ListSnapshotsRequest(snapshotter=self.snapshotter, filters=filters)
        pages = self._rpc.stream(
            _SNAPSHOTS + "List", request, pb.ListSnapshotsResponse, about="", stall=stall
        )
        return tuple([_info_of(each) async for page in pages for each in page.info])


def _info_of(info: pb.Info) -> SnapshotInfo:
    return SnapshotInfo(info.name, info.parent, SnapshotKind(info.kind), dict(info.labels))
