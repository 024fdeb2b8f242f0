"""The content store: blobs by digest, unfinished writes by a reference that the writer chose."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from agent.containerd.errors import AlreadyExists, FailedPrecondition, NotFound, OutOfRange
from agent.containerd.pb import content_pb2 as pb
from agent.containerd.rpc import METADATA_S, STALL_S, Rpc, StreamCall, received, sent
from agent.containerd.types import ContentInfo, WriteStatus

_CONTENT = "/containerd.services.content.v1.Content/"
_WRITE = _CONTENT + "Write"

SMALL_BYTES = 4 * 1024 * 1024
"""What ``read`` takes into memory at most: manifests and configs, the registries' own limit."""

WRITE_BYTES = 1024 * 1024
"""Sent per message: large enough that the answers to it cost little."""


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
        status = reply.status
        return WriteStatus(status.ref, status.offset, status.total, status.expected)

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
        call = self._rpc.duplex(_WRITE, pb.WriteContentResponse)
        try:
            first = pb.WriteContentRequest(ref=ref, total=size, expected=digest)
            await _write(call, first, chunks, offset, labels, stall)
        except AlreadyExists:
            if labels:
                await self.set_labels(digest, labels)
        except FailedPrecondition:
            await self.abort(ref)
            raise
        finally:
            call.cancel()


async def _write(
    call: StreamCall,
    request: pb.WriteContentRequest,
    chunks: AsyncIterable[bytes],
    offset: int,
    labels: Mapping[str, str] | None,
    stall: float,
) -> None:
    ref, total, expected = request.ref, request.total, request.expected
    async for data in _gathered(chunks):
        request.action, request.offset, request.data = pb.WRITE, offset, data
        await _exchange(call, request, ref, stall)
        offset += len(data)
        # Only the first message names the blob: each naming makes containerd look for it.
        request = pb.WriteContentRequest()
    last = pb.WriteContentRequest(
        action=pb.COMMIT, ref=ref, total=total, expected=expected, offset=offset, labels=labels
    )
    await _exchange(call, last, ref, stall)


async def _exchange(
    call: StreamCall, request: pb.WriteContentRequest, ref: str, stall: float
) -> None:
    await sent(call, request, _WRITE, ref, stall)
    await received(call, _WRITE, ref, stall)


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
