"""containerd's namespaces: each holds its own images, containers, leases and events."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from agent.containerd.errors import AlreadyExists
from agent.containerd.pb import namespaces_pb2 as pb
from agent.containerd.rpc import METADATA_S, Rpc

_NAMESPACES = "/containerd.services.namespaces.v1.Namespaces/"


class Namespaces:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def ensure(self, name: str, *, timeout: float = METADATA_S) -> None:
        """The namespace exists, made now or before."""
        request = pb.CreateNamespaceRequest(namespace=pb.Namespace(name=name))
        try:
            await self._rpc.unary(
                _NAMESPACES + "Create",
                request,
                pb.CreateNamespaceResponse,
                about=name,
                timeout=timeout,
            )
        except AlreadyExists:
            return

    async def delete(self, name: str, *, timeout: float = METADATA_S) -> None:
        """Delete an empty namespace; FailedPrecondition names what is still in it."""
        request = pb.DeleteNamespaceRequest(name=name)
        await self._rpc.unary(_NAMESPACES + "Delete", request, Empty, about=name, timeout=timeout)
