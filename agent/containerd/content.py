"""The content store: blobs by digest, unfinished writes by a reference that the writer chose."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from agent.containerd.errors import AlreadyExists, FailedPrecondition, NotFound, OutOfRange
from agent.containerd.pb import content_pb2 as pb
from agent.containerd.rpc import METADATA_S, STALL_S, Rpc, StreamCall, received, sent
from agent.containerd.types import ContentInfo, WriteStatus

_CONTENT = "/containerd.services.content.v1.Content/"
_WRITE = _CONTENT + "Write"

Source = Callable[[int], AsyncIterable[bytes]]
"""The bytes of a blob from an offset on."""

SMALL_BYTES = 4 * 1024 * 1024
"""What ``read`` takes into memory at most: manifests and configs, the registries' own limit."""

WRITE_BYTES = 256 * 1024
"""Sent per message: large enough that the answers to it cost little. gRPC copies each one several
times, so larger ones cost more memory than the time that they save is worth."""


class Content:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def info(self, digest: str, *, timeout: float = METADATA_S) -> ContentInfo:
        """Size and labels of a complete blob; NotFound otherwise."""
        request = pb.InfoRequest(digest=digest)
        reply = await self._rpc.unary(
            _CONTENT + "Info", request, pb.InfoResponse, about=digest, timeout=timeout
        )
        return _info_of(reply.info)

    async def list(
        self, filters: Iterable[str] = (), *, stall: float = STALL_S
    ) -> tuple[ContentInfo, ...]:
        """All complete blobs that match any of ``filters``; no filter: all."""
        request = pb.ListContentRequest(filters=filters)
        pages = self._rpc.stream(
            _CONTENT + "List", request, pb.ListContentResponse, about="", stall=stall
        )
        return tuple([_info_of(each) async for page in pages for each in page.info])

    async def set_labels(
        self, digest: str, labels: Mapping[str, str], *, timeout: float = METADATA_S
    ) -> ContentInfo:
        """Set these labels of a blob and leave its others; an empty value removes a label."""
        request = pb.UpdateRequest(
            info=pb.Info(digest=digest, labels=labels),
            update_mask=FieldMask(paths=[f"labels.{key}" for key in labels]),
        )
        reply = await self._rpc.unary(
            _CONTENT + "Update", request, pb.UpdateResponse, about=digest, timeout=timeout
        )
        return _info_of(reply.info)

    async def delete(self, digest: str, *, timeout: float = METADATA_S) -> None:
        """Forget the blob in this namespace, whoever still refers to it."""
        request = pb.DeleteContentRequest(digest=digest)
        await self._rpc.unary(_CONTENT + "Delete", request, Empty, about=digest, timeout=timeout)

    async def read(self, digest: str, *, limit: int = SMALL_BYTES, stall: float = STALL_S) -> bytes:
        """The whole blob; OutOfRange if it has more than ``limit`` bytes."""
        blob = bytearray()
        async with aclosing(self.read_stream(digest, stall=stall)) as chunks:
            async for chunk in chunks:
                blob += chunk
                if len(blob) > limit:
                    raise OutOfRange(f"Content.Read({digest}): more than {limit} bytes")
        return bytes(blob)

    async def read_stream(
        self, digest: str, *, offset: int = 0, stall: float = STALL_S
    ) -> AsyncGenerator[bytes]:
        """The blob from ``offset`` on, in pieces, each within ``stall`` seconds."""
        request = pb.ReadContentRequest(digest=digest, offset=offset)
        messages = self._rpc.stream(
            _CONTENT + "Read", request, pb.ReadContentResponse, about=digest, stall=stall
        )
        async with aclosing(messages):
            async for message in messages:
                yield message.data

    async def status(self, ref: str, *, timeout: float = METADATA_S) -> WriteStatus:
        """How far the unfinished write ``ref`` has come; NotFound if there is none."""
        request = pb.StatusRequest(ref=ref)
        reply = await self._rpc.unary(
            _CONTENT + "Status", request, pb.StatusResponse, about=ref, timeout=timeout
        )
        return _status_of(reply.status)

    async def statuses(
        self, filters: Iterable[str] = (), *, timeout: float = METADATA_S
    ) -> tuple[WriteStatus, ...]:
        """All unfinished writes that match any of ``filters``; no filter: all."""
        request = pb.ListStatusesRequest(filters=filters)
        reply = await self._rpc.unary(
            _CONTENT + "ListStatuses", request, pb.ListStatusesResponse, about="", timeout=timeout
        )
        return tuple(map(_status_of, reply.statuses))

    async def abort(self, ref: str, *, timeout: float = METADATA_S) -> None:
        """Throw the unfinished write away; fine if there is none."""
        try:
            request = pb.AbortRequest(ref=ref)
            await self._rpc.unary(_CONTENT + "Abort", request, Empty, about=ref, timeout=timeout)
        except NotFound:
            return

    async def write(
        self,
        ref: str,
        chunks: AsyncIterable[bytes],
        *,
        size: int,
        digest: str,
        offset: int = 0,
        labels: Mapping[str, str] | None = None,
        stall: float = STALL_S,
    ) -> None:
        """The blob ``digest`` of ``size`` bytes is in the store with ``labels``, now or before.

        ``chunks`` begin at ``offset``, which is 0 or what ``status`` told; an interrupted write
        keeps its bytes for that. Bytes that don't give the digest are thrown away:
        FailedPrecondition. Unavailable while another writer holds ``ref``. ``stall`` bounds each
        exchange with containerd, not the wait for ``chunks``.
        """

        def told(_: int) -> AsyncIterable[bytes]:
            return chunks

        write = _Write(self._rpc.duplex(_WRITE, pb.WriteContentResponse), ref, size, digest, stall)
        await self._finish(write, write.all(told, offset, labels), labels)

    async def resume(
        self, ref: str, source: Source, *, size: int, digest: str, stall: float = STALL_S
    ) -> None:
        """As ``write``, but where to begin is asked first: ``source`` gives the bytes from there.

        It is not asked if the blob is in the store; of one that another namespace has, it is asked
        for the end alone.
        """
        write = _Write(self._rpc.duplex(_WRITE, pb.WriteContentResponse), ref, size, digest, stall)

        async def whole() -> None:
            await write.all(source, await write.begin(), None)

        await self._finish(write, whole(), None)

    async def _finish(
        self, write: _Write, writing: Awaitable[None], labels: Mapping[str, str] | None
    ) -> None:
        try:
            await writing
        except AlreadyExists:
            if labels:
                await self.set_labels(write.digest, labels)
        except FailedPrecondition:
            await self.abort(write.ref)
            raise
        finally:
            write.call.cancel()


@dataclass(frozen=True, slots=True)
class _Write:
    """One write on its stream."""

    call: StreamCall
    ref: str
    size: int
    digest: str
    stall: float

    async def begin(self) -> int:
        """Opens it; gives how many bytes are there."""
        return await self._exchange(self._naming(pb.STAT))

    async def all(self, source: Source, offset: int, labels: Mapping[str, str] | None) -> None:
        """Writes what is missing, and commits."""
        # Only the first message names the blob: each naming makes containerd look for it.
        request = self._naming(pb.WRITE)
        async with aclosing(_gathered(source(offset))) as gathered:
            async for data in gathered:
                request.offset, request.data = offset, data
                await self._exchange(request)
                offset += len(data)
                request = pb.WriteContentRequest(action=pb.WRITE)
        last = self._naming(pb.COMMIT)
        last.offset = offset
        last.labels.update(labels or {})
        await self._exchange(last)

    def _naming(self, action: pb.WriteAction) -> pb.WriteContentRequest:
        return pb.WriteContentRequest(
            action=action, ref=self.ref, total=self.size, expected=self.digest
        )

    async def _exchange(self, request: pb.WriteContentRequest) -> int:
        await sent(self.call, request, _WRITE, self.ref, self.stall)
        answer = await received(self.call, _WRITE, self.ref, self.stall)
        return answer.offset if answer is not None else 0


async def _gathered(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes in messages of at least ``WRITE_BYTES``, the last one excepted."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= WRITE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _info_of(info: pb.Info) -> ContentInfo:
    return ContentInfo(info.digest, info.size, dict(info.labels))


def _status_of(status: pb.Status) -> WriteStatus:
    return WriteStatus(status.ref, status.offset, status.total, status.expected)
