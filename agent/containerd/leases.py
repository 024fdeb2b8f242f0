"""Leases: what is made under one is not collected until the lease goes.

To make calls under a lease, use ``Containerd.with_lease``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from google.protobuf.empty_pb2 import Empty

from agent.containerd.pb import leases_pb2 as pb
from agent.containerd.rpc import METADATA_S, Rpc
from agent.containerd.types import Lease

_LEASES = "/containerd.services.leases.v1.Leases/"
_EXPIRE_LABEL = "containerd.io/gc.expire"


class Leases:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def create(
        self,
        lease_id: str,
        *,
        expires_at: float,
        labels: Mapping[str, str] | None = None,
        timeout: float = METADATA_S,
    ) -> Lease:
        """A lease that ends by itself at ``expires_at``, so that a crash leaks none for ever."""
        expire = datetime.fromtimestamp(expires_at, UTC).isoformat()
        request = pb.CreateRequest(id=lease_id, labels={**(labels or {}), _EXPIRE_LABEL: expire})
        reply = await self._rpc.unary(
            _LEASES + "Create", request, pb.CreateResponse, about=lease_id, timeout=timeout
        )
        return _lease_of(reply.lease)

    async def list(
        self, filters: Iterable[str] = (), *, timeout: float = METADATA_S
    ) -> tuple[Lease, ...]:
        """All leases that match any of ``filters``; no filter: all."""
        request = pb.ListRequest(filters=filters)
        reply = await self._rpc.unary(
            _LEASES + "List", request, pb.ListResponse, about="", timeout=timeout
        )
        return tuple(_lease_of(each) for each in reply.leases)

    async def delete(
        self, lease_id: str, *, sync: bool = False, timeout: float = METADATA_S
    ) -> None:
        """End the lease. With ``sync``, return after what it alone held has been collected."""
        request = pb.DeleteRequest(id=lease_id, sync=sync)
        await self._rpc.unary(_LEASES + "Delete", request, Empty, about=lease_id, timeout=timeout)

    async def hold_snapshot(
        self, lease_id: str, snapshotter: str, key: str, *, timeout: float = METADATA_S
    ) -> None:
        """The lease holds that snapshot and those below it from now on, if it is there.

        Content needs no such call: whoever begins to write what is there already holds it.
        """
        resource = pb.Resource(id=key, type=f"snapshots/{snapshotter}")
        request = pb.AddResourceRequest(id=lease_id, resource=resource)
        await self._rpc.unary(
            _LEASES + "AddResource", request, Empty, about=lease_id, timeout=timeout
        )


def _lease_of(lease: pb.Lease) -> Lease:
    return Lease(lease.id, dict(lease.labels))
