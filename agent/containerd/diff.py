"""Unpacking of layers: the daemon reads a blob and writes it into mounted snapshots."""

from __future__ import annotations

from collections.abc import Iterable

from agent.containerd.convert import descriptor_of, descriptor_to, mounts_to
from agent.containerd.pb import diff_pb2 as pb
from agent.containerd.rpc import UNPACK_S, Rpc
from agent.containerd.types import Descriptor, Mount

_DIFF = "/containerd.services.diff.v1.Diff/"


class Diff:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def apply(
        self, layer: Descriptor, mounts: Iterable[Mount], *, timeout: float = UNPACK_S
    ) -> Descriptor:
        """Unpack ``layer``, a tar in the content store, maybe compressed, onto ``mounts``.

        Gives the uncompressed tar's descriptor: its digest must be the config's diff id.
        """
        request = pb.ApplyRequest(diff=descriptor_to(layer), mounts=mounts_to(mounts))
        reply = await self._rpc.unary(
            _DIFF + "Apply", request, pb.ApplyResponse, about=layer.digest, timeout=timeout
        )
        return descriptor_of(reply.applied)
