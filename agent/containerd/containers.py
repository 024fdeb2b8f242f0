"""Container records: what a task is made from. Making one starts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from agent.containerd.convert import epoch
from agent.containerd.pb import containers_pb2 as pb
from agent.containerd.pb import runc_pb2, runtimeoptions_pb2
from agent.containerd.rpc import METADATA_S, STALL_S, Rpc
from agent.containerd.types import ConfigOptions, ContainerRecord, RuncOptions

_CONTAINERS = "/containerd.services.containers.v1.Containers/"

# containerd names types without the usual "type.googleapis.com/" in front.
_SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
_EXTENSION_TYPE = "hostler/json"


class _Types(StrEnum):
    RUNC = "containerd.runc.v1.Options"
    CONFIG = "runtimeoptions.v1.Options"


class Containers:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def create(
        self, record: ContainerRecord, *, timeout: float = METADATA_S
    ) -> ContainerRecord:
        """Store the record; AlreadyExists if its id is taken."""
        request = pb.CreateContainerRequest(container=_record_to(record))
        reply = await self._rpc.unary(
            _CONTAINERS + "Create",
            request,
            pb.CreateContainerResponse,
            about=record.id,
            timeout=timeout,
        )
        return _record_of(reply.container)

    async def get(self, container_id: str, *, timeout: float = METADATA_S) -> ContainerRecord:
        """The record of that id; NotFound otherwise."""
        request = pb.GetContainerRequest(id=container_id)
        reply = await self._rpc.unary(
            _CONTAINERS + "Get",
            request,
            pb.GetContainerResponse,
            about=container_id,
            timeout=timeout,
        )
        return _record_of(reply.container)

    async def list(
        self, filters: Iterable[str] = (), *, stall: float = STALL_S
    ) -> tuple[ContainerRecord, ...]:
        """All records that match any of ``filters``, such as ``labels."a.b/c"==d``.

        They come one by one: all together may be more than fits into one message.
        """
        request = pb.ListContainersRequest(filters=filters)
        messages = self._rpc.stream(
            _CONTAINERS + "ListStream", request, pb.ListContainerMessage, about="", stall=stall
        )
        return tuple([_record_of(each.container) async for each in messages])

    async def delete(self, container_id: str, *, timeout: float = METADATA_S) -> None:
        """Delete the record; its snapshot stays. The caller deletes the task first."""
        request = pb.DeleteContainerRequest(id=container_id)
        await self._rpc.unary(
            _CONTAINERS + "Delete", request, Empty, about=container_id, timeout=timeout
        )


def _record_to(record: ContainerRecord) -> pb.Container:
    runtime = pb.Container.Runtime(name=record.runtime)
    match record.options:
        case RuncOptions() as options:
            runtime.options.type_url = _Types.RUNC
            runtime.options.value = runc_pb2.Options(**asdict(options)).SerializeToString()
        case ConfigOptions() as options:
            packed = runtimeoptions_pb2.Options(**asdict(options))
            runtime.options.type_url = _Types.CONFIG
            runtime.options.value = packed.SerializeToString()
        case None:
            pass
    return pb.Container(
        id=record.id,
        labels=dict(record.labels),
        image=record.image,
        runtime=runtime,
        spec=Any(type_url=_SPEC_TYPE, value=record.spec),
        snapshotter=record.snapshotter,
        snapshot_key=record.snapshot_key,
        extensions={
            key: Any(type_url=_EXTENSION_TYPE, value=value)
            for key, value in record.extensions.items()
        },
    )


def _record_of(container: pb.Container) -> ContainerRecord:
    return ContainerRecord(
        id=container.id,
        spec=container.spec.value,
        image=container.image,
        runtime=container.runtime.name,
        options=_options_of(container.runtime.options),
        snapshotter=container.snapshotter,
        snapshot_key=container.snapshot_key,
        labels=dict(container.labels),
        extensions={key: each.value for key, each in container.extensions.items()},
        created_at=epoch(container.created_at),
    )


def _options_of(packed: Any) -> RuncOptions | ConfigOptions | None:
    match packed.type_url.rpartition("/")[2]:
        case _Types.RUNC:
            return _runc_options_of(packed)
        case _Types.CONFIG:
            config = runtimeoptions_pb2.Options.FromString(packed.value)
            return ConfigOptions(config.config_path, config.type_url)
        case _:
            return None


def _runc_options_of(packed: Any) -> RuncOptions:
    options = runc_pb2.Options.FromString(packed.value)
    return RuncOptions(
        binary_name=options.binary_name,
        root=options.root,
        systemd_cgroup=options.systemd_cgroup,
        shim_cgroup=options.shim_cgroup,
        io_uid=options.io_uid,
        io_gid=options.io_gid,
        no_new_keyring=options.no_new_keyring,
        no_pivot_root=options.no_pivot_root,
    )
