"""A tiny containerd: a gRPC server on a unix socket, made from the same ``.proto`` files.

It answers as a test tells it to, one function per method path, and notes how it was called. It
keeps no rules of containerd; the system tests ask the real one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

Context = Any
Answer = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Any, Context], AsyncIterator[Message]]


@dataclass(slots=True)
class Calls:
    """What came in: method paths, and the headers of each."""

    methods: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def note(self, method: str, context: Context) -> None:
        self.methods.append(method)
        self.headers.append(dict(context.invocation_metadata()))


class FakeContainerd:
    """``answers`` for single calls and ``streams`` for streams of answers, by method path."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.answers: dict[str, tuple[type[Message], Answer]] = {}
        self.streams: dict[str, tuple[type[Message], Stream]] = {}

    def service(self, details: Any) -> Any:
        """gRPC's question: who answers this method? None: nobody."""
        method: str = details.method
        if method in self.answers:
            request, answer = self.answers[method]

            async def unary(message: Message, context: Context) -> Message:
                self.calls.note(method, context)
                return await answer(message, context)

            return grpc.unary_unary_rpc_method_handler(unary, request.FromString, _encoded)
        if method in self.streams:
            request, stream = self.streams[method]

            async def several(message: Message, context: Context) -> AsyncIterator[Message]:
                self.calls.note(method, context)
                async for each in stream(message, context):
                    yield each

            return grpc.unary_stream_rpc_method_handler(several, request.FromString, _encoded)
        return None


def _encoded(message: Message) -> bytes:
    return message.SerializeToString()


@asynccontextmanager
async def serving(fake: FakeContainerd, socket: Path) -> AsyncIterator[None]:
    """The fake serves on ``socket`` meanwhile."""
    server: Any = grpc.aio.server()
    server.add_generic_rpc_handlers((fake,))
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)
