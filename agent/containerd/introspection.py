"""What containerd tells of itself: its plugins, and where they keep what they keep."""

from __future__ import annotations

from pathlib import Path

from agent.containerd.errors import NotFound
from agent.containerd.pb import introspection_pb2 as pb
from agent.containerd.rpc import METADATA_S, Rpc

_PLUGINS = "/containerd.services.introspection.v1.Introspection/Plugins"
_SNAPSHOTTERS = "io.containerd.snapshotter.v1"


class Introspection:
    def __init__(self, rpc: Rpc, snapshotter: str) -> None:
        self._rpc = rpc
        self._snapshotter = snapshotter

    async def snapshots_root(self, *, timeout: float = METADATA_S) -> Path:
        """The folder of the snapshotter, on containerd's host; NotFound if it tells none."""
        request = pb.PluginsRequest(filters=[f"type=={_SNAPSHOTTERS},id=={self._snapshotter}"])
        reply = await self._rpc.unary(
            _PLUGINS, request, pb.PluginsResponse, about=self._snapshotter, timeout=timeout
        )
        for each in reply.plugins:
            if root := each.exports.get("root"):
                return Path(root)
        raise NotFound(f"containerd does not tell where snapshotter {self._snapshotter} is")
