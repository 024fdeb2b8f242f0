"""One gRPC channel to containerd: headers, deadlines and error translation for every service file.

Calls go by method path, so no generated stubs are needed. Used only inside this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from agent.containerd.errors import DeadlineExceeded, Unavailable, named, translated

METADATA_S = 10.0
"""Calls that read or write containerd's database: one fsync, on a disk that may be busy."""

TASK_S = 60.0
"""Calls that go through a shim, which may first have to be started, and run the OCI runtime."""

UNPACK_S = 900.0
"""Unpacking one layer: gigabytes onto a slow disk."""

STALL_S = 60.0
"""Between two messages of a stream that carries content."""

_LATER_S = 1.0
"""containerd's deadline, which it hands on to the shim, ends so much after ours: were both one, the
answer to a late call would be now a deadline, now a cancellation, now an unknown error."""

MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest message either way, containerd's own limit."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # A unix socket answers at once or not at all, so trying again soon costs nothing.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # An http_proxy in the environment must not come between us and a unix socket.
    ("grpc.enable_http_proxy", 0),
    # Connections of two clients in one process have nothing to do with each other.
    ("grpc.use_local_subchannel_pool", 1),
)

Reply = TypeVar("Reply", bound=Message)

# grpc's published type stubs do not know stream calls as they are.
StreamCall = Any


def connect(socket: Path) -> grpc.aio.Channel:
    """A channel to the unix socket; connects when first used. Needs a running loop."""
    return grpc.aio.insecure_channel(f"unix://{socket.absolute()}", options=_OPTIONS)


@dataclass(frozen=True, slots=True)
class Rpc:
    """A channel together with the headers that each call carries."""

    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...]

    async def unary(
        self, method: str, request: Message, reply: type[Reply], *, about: str, timeout: float
    ) -> Reply:
        """The answer to one call; ``about`` names the object in errors, ``timeout`` is in seconds.

        Never waits for a daemon that is away: that is Unavailable at once.
        """
        call = self.channel.unary_unary(method, _encoded, reply.FromString)
        theirs = timeout + _LATER_S
        with _translating(method, about):
            async with asyncio.timeout(timeout):
                answer: Reply = await call(request, timeout=theirs, metadata=self.metadata)
        return answer

    async def stream(
        self, method: str, request: Message, reply: type[Reply], *, about: str, stall: float
    ) -> AsyncGenerator[Reply]:
        """The messages of a server's stream, each within ``stall`` seconds.

        To leave it early, wrap it in ``contextlib.aclosing``.
        """
        call = self.server_stream(method, request, reply)
        try:
            while (message := await received(call, method, about, stall)) is not None:
                yield message
        finally:
            call.cancel()

    def server_stream(self, method: str, request: Message, reply: type[Message]) -> StreamCall:
        """A stream towards us, for ``received``; the caller cancels it at the end."""
        opened = self.channel.unary_stream(method, _encoded, reply.FromString)
        return opened(request, metadata=self.metadata)

    def duplex(self, method: str, reply: type[Message]) -> StreamCall:
        """A stream both ways, for ``sent`` and ``received``; the caller cancels it at the end."""
        opened: Any = self.channel.stream_stream(method, _encoded, reply.FromString)
        return opened(metadata=self.metadata)


async def received(call: StreamCall, method: str, about: str, stall: float | None) -> Any:
    """The stream's next message within ``stall`` seconds; None at its proper end.

    No limit (None) is for events alone, where silence is normal.
    """
    with _translating(method, about):
        async with asyncio.timeout(stall):
            message = await call.read()
    return message if isinstance(message, Message) else None  # grpc.aio.EOF is no message


async def sent(call: StreamCall, message: Message, method: str, about: str, stall: float) -> None:
    """Hand ``message`` to the stream within ``stall`` seconds.

    A stream which the server has ended swallows it: ``received`` then says why.
    """
    with _translating(method, about):
        try:
            async with asyncio.timeout(stall):
                await call.write(message)
        except asyncio.InvalidStateError:
            return


@contextmanager
def _translating(method: str, about: str) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise translated(error, method, about) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{named(method, about)}: no answer in time") from error
    except asyncio.CancelledError as error:
        # grpc.aio raises this also in a task that nobody cancelled, when the channel is closed; a
        # task group would take it for a quiet end.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"{named(method, about)}: the connection was closed") from error


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()
