"""Images in a containerd that has just what a test puts there, and a disk as full as it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from agent.containerd.pb import content_pb2, images_pb2, introspection_pb2, snapshots_pb2, types_pb2
from agent.host.images.chains import chain_ids
from agent.registry import descriptor
from agent.registry.platform import host_platform
from tests.fakes.containerd import FakeContainerd

_SERVICES = "/containerd.services."


class Shelf(FakeContainerd):
    """Records and blobs, and a snapshot of 1000 bytes for each layer.

    ``on_delete`` runs before a record is deleted. ``refused`` are names that can't be.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.records: dict[str, images_pb2.Image] = {}
        self.deleted: list[tuple[str, bool]] = []
        self.refused: set[str] = set()
        self.on_delete: Callable[[str], Awaitable[None]] | None = None
        self._root = root
        self._serve("images.v1.Images/Get", images_pb2.GetImageRequest, self._get)
        self._serve("images.v1.Images/List", images_pb2.ListImagesRequest, self._list)
        self._serve("images.v1.Images/Update", images_pb2.UpdateImageRequest, self._update)
        self._serve("images.v1.Images/Delete", images_pb2.DeleteImageRequest, self._delete)
        self._serve("content.v1.Content/Info", content_pb2.InfoRequest, self._info)
        self._serve("snapshots.v1.Snapshots/Usage", snapshots_pb2.UsageRequest, self._usage)
        self._serve(
            "introspection.v1.Introspection/Plugins",
            introspection_pb2.PluginsRequest,
            self._plugins,
        )
        self.streams |= {
            f"{_SERVICES}content.v1.Content/Read": (content_pb2.ReadContentRequest, self._read),
            f"{_SERVICES}content.v1.Content/List": (content_pb2.ListContentRequest, self._blobs),
            f"{_SERVICES}snapshots.v1.Snapshots/List": (
                snapshots_pb2.ListSnapshotsRequest,
                self._snapshots,
            ),
        }

    def image(
        self,
        *names: str,
        layers: tuple[str, ...] = ("base",),
        created: str = "2001-09-09T01:46:40Z",
        **labels: str,
    ) -> str:
        """An image whose layers have these bytes; gives the digest of its manifest.

        Labels are those of the records, ``pulled_at`` for instance.
        """
        kept = [self.blob(descriptor.LAYER, each.encode()) for each in layers]
        document = {
            "architecture": host_platform().architecture,
            "os": "linux",
            "created": created,
            "config": {"Cmd": ["/run", *layers]},
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in kept]},
        }
        config = self.blob(descriptor.CONFIG, json.dumps(document).encode())
        manifest = {"schemaVersion": 2, "config": config, "layers": kept}
        target = self.blob(descriptor.MANIFEST, json.dumps(manifest).encode())
        for each in names:
            self.name(each, target, **labels)
        return str(target["digest"])

    def name(self, name: str, target: dict[str, Any], **labels: str) -> None:
        """A record."""
        at = types_pb2.Descriptor(
            media_type=target["mediaType"], digest=target["digest"], size=target["size"]
        )
        told = {f"hostler/{key.replace('_', '-')}": value for key, value in labels.items()}
        self.records[name] = images_pb2.Image(name=name, target=at, labels=told)

    def blob(self, media_type: str, data: bytes) -> dict[str, Any]:
        """Keeps the bytes; gives their descriptor."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def _serve(
        self,
        method: str,
        request: type[Message],
        answer: Callable[[Any, Any], Awaitable[Message]],
    ) -> None:
        self.answers[_SERVICES + method] = (request, answer)

    async def _get(self, asked: Any, context: Any) -> Message:
        if asked.name not in self.records:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
        return images_pb2.GetImageResponse(image=self.records[asked.name])

    async def _list(self, _asked: Any, _context: Any) -> Message:
        return images_pb2.ListImagesResponse(images=self.records.values())

    async def _update(self, asked: Any, context: Any) -> Message:
        record = self.records.get(asked.image.name)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
            raise AssertionError
        for path in asked.update_mask.paths:
            key = path.removeprefix("labels.")
            record.labels[key] = asked.image.labels[key]
        return images_pb2.UpdateImageResponse(image=record)

    async def _delete(self, asked: Any, context: Any) -> Message:
        if self.on_delete is not None:
            await self.on_delete(asked.name)
        if asked.name in self.refused:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this one")
        if asked.name not in self.records:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
        del self.records[asked.name]
        self.deleted.append((asked.name, asked.sync))
        return Empty()

    async def _info(self, asked: Any, context: Any) -> Message:
        if asked.digest not in self.blobs:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        info = content_pb2.Info(digest=asked.digest, size=len(self.blobs[asked.digest]))
        return content_pb2.InfoResponse(info=info)

    async def _usage(self, asked: Any, context: Any) -> Message:
        return snapshots_pb2.UsageResponse(size=1000)

    async def _plugins(self, _asked: Any, _context: Any) -> Message:
        exports = {"root": self._root} if self._root else {}
        plugin = introspection_pb2.Plugin(id="overlayfs", exports=exports)
        return introspection_pb2.PluginsResponse(plugins=[plugin])

    async def _read(self, asked: Any, context: Any) -> AsyncIterator[Message]:
        if asked.digest not in self.blobs:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        yield content_pb2.ReadContentResponse(data=self.blobs[asked.digest])

    async def _blobs(self, _asked: Any, _context: Any) -> AsyncIterator[Message]:
        infos = [content_pb2.Info(digest=key, size=len(data)) for key, data in self.blobs.items()]
        yield content_pb2.ListContentResponse(info=infos)

    async def _snapshots(self, _asked: Any, _context: Any) -> AsyncIterator[Message]:
        documents = [_document(data) for data in self.blobs.values()]
        found = [each["rootfs"]["diff_ids"] for each in documents if "rootfs" in each]
        chains = {chain for diff_ids in found for chain in chain_ids(diff_ids)}
        infos = [snapshots_pb2.Info(name=each) for each in sorted(chains)]
        yield snapshots_pb2.ListSnapshotsResponse(info=infos)


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
