"""The door to containerd: one connection, one namespace, one attribute per service.

Used by ``agent.host`` and ``agent.registry``. Every call has a deadline and raises only
``errors.ContainerdError``; a daemon that is away is ``Unavailable`` at once, and the connection
comes back by itself within about a second of the daemon.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from google.protobuf.empty_pb2 import Empty

from agent.containerd import rpc
from agent.containerd.containers import Containers
from agent.containerd.content import Content
from agent.containerd.diff import Diff
from agent.containerd.events import Events
from agent.containerd.images import Images
from agent.containerd.introspection import Introspection
from agent.containerd.leases import Leases
from agent.containerd.namespaces import Namespaces
from agent.containerd.pb import version_pb2
from agent.containerd.rpc import METADATA_S, Rpc
from agent.containerd.snapshots import Snapshots
from agent.containerd.tasks import Tasks
from agent.containerd.types import Version

OVERLAYFS = "overlayfs"

_VERSION = "/containerd.services.version.v1.Version/Version"


class Containerd:
    """containerd behind ``socket``, in ``namespace``. Make it inside a running event loop."""

    def __init__(self, socket: Path, namespace: str, *, snapshotter: str = OVERLAYFS) -> None:
        headers = (("containerd-namespace", namespace),)
        self._bind(Rpc(rpc.connect(socket), headers), socket, namespace, snapshotter)

    def _bind(self, connection: Rpc, socket: Path, namespace: str, snapshotter: str) -> None:
        self._rpc = connection
        self.socket = socket
        self.namespace = namespace
        self.snapshotter = snapshotter
        self.lease = ""
        self.containers = Containers(connection)
        self.content = Content(connection)
        self.diff = Diff(connection)
        self.events = Events(connection, namespace)
        self.images = Images(connection)
        self.introspection = Introspection(connection, snapshotter)
        self.leases = Leases(connection)
        self.namespaces = Namespaces(connection)
        self.snapshots = Snapshots(connection, snapshotter)
        self.tasks = Tasks(connection)

    def with_lease(self, lease_id: str) -> Containerd:
        """The same connection, but what its calls create is held by the lease.

        Closing is left to the client this came from.
        """
        headers = (*self._rpc.metadata, ("containerd-lease", lease_id))
        view = Containerd.__new__(Containerd)
        connection = Rpc(self._rpc.channel, headers)
        view._bind(connection, self.socket, self.namespace, self.snapshotter)
        view.lease = lease_id
        return view

    async def version(self, *, timeout: float = METADATA_S) -> Version:
        """What the daemon says it is; also the cheapest way to ask whether it is there."""
        reply = await self._rpc.unary(
            _VERSION, Empty(), version_pb2.VersionResponse, about="", timeout=timeout
        )
        return Version(reply.version, reply.revision)

    async def close(self) -> None:
        """Close the connection; calls under way end with Unavailable."""
        await self._rpc.channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
