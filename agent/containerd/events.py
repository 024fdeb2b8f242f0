"""containerd's events as values, on a subscription that comes back by itself and says so.

The reader takes every ``Gap`` as "look at everything", since what happened before it is unknown.
``payloads`` decodes the events.

The trick: containerd says nothing when it has accepted a subscription. So after subscribing we
publish a mark, an event that only we know, and wait until the stream brings it back: from then on
nothing is missed, and a stream that does not work is found out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from agent.containerd.convert import epoch
from agent.containerd.errors import ContainerdError, Unavailable
from agent.containerd.payloads import Payload, payload_of
from agent.containerd.pb import events_pb2 as pb
from agent.containerd.rpc import METADATA_S, Rpc, StreamCall, received

_EVENTS = "/containerd.services.events.v1.Events/"
_SUBSCRIBE = _EVENTS + "Subscribe"

_MARK_TOPIC = "/hostler/mark/"
_MARK = Any(type_url="google.protobuf.Empty")
_MARKS = 3
"""The first may overtake the subscription inside containerd; were all to, we subscribe again."""
_MARK_S = 2.0

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 3.0

TASK_TOPICS = (
    "/tasks/create",
    "/tasks/start",
    "/tasks/exec-started",
    "/tasks/exit",
    "/tasks/oom",
    "/tasks/delete",
)


@dataclass(frozen=True, slots=True)
class Event:
    """``at``: when it was published, in seconds since the epoch."""

    topic: str
    namespace: str
    at: float
    payload: Payload


@dataclass(frozen=True, slots=True)
class Gap:
    """Events before this may have been missed, none after it. ``why`` is for the log."""

    why: str


class Events:
    def __init__(self, rpc: Rpc, namespace: str) -> None:
        self._rpc = rpc
        self._namespace = namespace

    async def subscribe(self, topics: Iterable[str] = TASK_TOPICS) -> AsyncGenerator[Event | Gap]:
        """Events of these topics in this namespace, for ever.

        A ``Gap`` comes first on every connection, once containerd is known to send. While it is
        away nothing comes, and we try again after 0.1 s, growing to 3 s. To leave early, wrap it
        in ``contextlib.aclosing``.
        """
        topics = tuple(topics)
        why = "subscribed"
        delays = _delays()
        while True:
            try:
                async with aclosing(self._connection(topics)) as connection:
                    async for envelope in connection:
                        yield Gap(why) if envelope is None else _event_of(envelope)
                        delays = _delays()
                why = "containerd ended the stream"
            except ContainerdError as error:
                why = str(error)
            await asyncio.sleep(next(delays))

    async def _connection(self, topics: Iterable[str]) -> AsyncGenerator[pb.Envelope | None]:
        """None once it is established, then what comes, until it breaks."""
        mark = _MARK_TOPIC + secrets.token_hex(8)
        namespace = f'namespace=="{self._namespace}"'
        filters = [f'{namespace},topic=="{each}"' for each in (*topics, mark)]
        request = pb.SubscribeRequest(filters=filters)
        call = self._rpc.server_stream(_SUBSCRIBE, request, pb.Envelope)
        try:
            await self._establish(call, mark)
            yield None
            while (envelope := await received(call, _SUBSCRIBE, "", None)) is not None:
                if envelope.topic != mark:
                    yield envelope
        finally:
            call.cancel()

    async def _establish(self, call: StreamCall, mark: str) -> None:
        request = pb.PublishRequest(topic=mark, event=_MARK)
        for _ in range(_MARKS):
            await self._rpc.unary(
                _EVENTS + "Publish", request, Empty, about=mark, timeout=METADATA_S
            )
        topic = ""
        while topic != mark:
            envelope = await received(call, _SUBSCRIBE, "", _MARK_S)
            if envelope is None:
                raise Unavailable("Events.Subscribe(): containerd ended the stream")
            topic = envelope.topic


def _event_of(envelope: pb.Envelope) -> Event:
    return Event(
        topic=envelope.topic,
        namespace=envelope.namespace,
        at=epoch(envelope.timestamp),
        payload=payload_of(envelope.event),
    )


def _delays() -> Iterator[float]:
    delay = _FIRST_DELAY_S
    while True:
        yield delay
        delay = min(delay * 2, _LONGEST_DELAY_S)
