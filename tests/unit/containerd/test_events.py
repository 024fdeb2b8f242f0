"""The subscription against a server that brings published events back, as containerd does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from agent.containerd import events
from agent.containerd.client import Containerd
from agent.containerd.events import Event, Gap
from agent.containerd.payloads import TaskOOM
from agent.containerd.pb import events_pb2 as pb
from agent.containerd.pb import task_events_pb2
from tests.fakes.containerd import FakeContainerd, serving

EVENTS = "/containerd.services.events.v1.Events/"
END_S = 60.0


class Exchange:
    """Brings what is published to the one subscriber; ``push`` publishes as a shim would."""

    def __init__(self, fake: FakeContainerd) -> None:
        self.queue: asyncio.Queue[pb.Envelope | None] = asyncio.Queue()
        self.filters: list[str] = []
        fake.answers[EVENTS + "Publish"] = (pb.PublishRequest, self._publish)
        fake.streams[EVENTS + "Subscribe"] = (pb.SubscribeRequest, self._subscribe)

    def push(self, container_id: str) -> None:
        event = task_events_pb2.TaskOOM(container_id=container_id)
        packed = Packed(type_url="containerd.events.TaskOOM", value=event.SerializeToString())
        self.queue.put_nowait(
            pb.Envelope(
                topic="/tasks/oom", namespace="ns", event=packed, timestamp=Timestamp(seconds=5)
            )
        )

    def break_off(self) -> None:
        self.queue.put_nowait(None)

    async def _publish(self, request: pb.PublishRequest, context: Any) -> Empty:
        self.queue.put_nowait(pb.Envelope(topic=request.topic, namespace="ns"))
        return Empty()

    async def _subscribe(
        self, request: pb.SubscribeRequest, context: Any
    ) -> AsyncIterator[pb.Envelope]:
        self.filters = list(request.filters)
        while (envelope := await self.queue.get()) is not None:
            yield envelope
        await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")


@pytest.fixture
async def exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Exchange, Containerd]]:
    # Or a subscription is given up for another one, and why, if this process gets no time for long.
    monkeypatch.setattr(events, "_MARK_S", END_S)
    fake = FakeContainerd()
    exchange = Exchange(fake)
    socket = tmp_path / "s"
    async with serving(fake, socket), Containerd(socket, "ns") as client:
        yield exchange, client


def oom(container_id: str) -> Event:
    return Event("/tasks/oom", "ns", 5.0, TaskOOM(container_id))


async def test_a_gap_comes_first_then_events_without_our_marks(
    exchange: tuple[Exchange, Containerd],
) -> None:
    server, client = exchange
    server.push("before")
    async with aclosing(client.events.subscribe()) as events, asyncio.timeout(END_S):
        assert await anext(events) == Gap("subscribed")
        server.push("a")
        server.push("b")
        assert [await anext(events), await anext(events)] == [oom("a"), oom("b")]


async def test_a_gap_that_says_why_comes_after_each_break(
    exchange: tuple[Exchange, Containerd],
) -> None:
    server, client = exchange
    async with aclosing(client.events.subscribe()) as events, asyncio.timeout(END_S):
        await anext(events)
        server.break_off()
        assert await anext(events) == Gap("Events.Subscribe(): shutting down")
        server.push("a")
        assert await anext(events) == oom("a")


async def test_only_the_topics_asked_for_and_our_mark_are_subscribed_in_our_namespace(
    exchange: tuple[Exchange, Containerd],
) -> None:
    server, client = exchange
    async with aclosing(client.events.subscribe(["/tasks/exit"])) as events, asyncio.timeout(END_S):
        await anext(events)
    exits, mark = server.filters
    assert exits == 'namespace=="ns",topic=="/tasks/exit"'
    assert mark.startswith('namespace=="ns",topic=="/hostler/mark/')
