"""Headers, deadlines and ends of connections, against a server made from the same protos."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from agent.containerd.client import Containerd
from agent.containerd.errors import DeadlineExceeded, NotFound, Unavailable
from agent.containerd.pb import content_pb2, tasks_pb2, version_pb2
from agent.containerd.rpc import METADATA_S
from agent.containerd.types import Version
from tests.fakes.containerd import FakeContainerd, serving

VERSION = "/containerd.services.version.v1.Version/Version"
TASK_GET = "/containerd.services.tasks.v1.Tasks/Get"
READ = "/containerd.services.content.v1.Content/Read"


@pytest.fixture
def fake() -> FakeContainerd:
    fake = FakeContainerd()

    async def version(request: Empty, context: Any) -> version_pb2.VersionResponse:
        return version_pb2.VersionResponse(version="9.9", revision="abc")

    fake.answers[VERSION] = (Empty, version)
    return fake


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
async def client(fake: FakeContainerd, socket: Path) -> AsyncIterator[Containerd]:
    async with serving(fake, socket), Containerd(socket, "ns") as client:
        yield client


async def test_every_call_carries_the_namespace(client: Containerd, fake: FakeContainerd) -> None:
    assert await client.version() == Version("9.9", "abc")
    (headers,) = fake.calls.headers
    assert headers["containerd-namespace"] == "ns"
    assert "containerd-lease" not in headers


async def test_calls_of_a_view_carry_its_lease(client: Containerd, fake: FakeContainerd) -> None:
    await client.with_lease("l1").version()
    await client.version()
    assert [each.get("containerd-lease") for each in fake.calls.headers] == ["l1", None]
    assert fake.calls.headers[0]["containerd-namespace"] == "ns"


async def test_a_call_without_an_answer_ends_at_its_deadline(
    client: Containerd, fake: FakeContainerd
) -> None:
    async def never(request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers[TASK_GET] = (tasks_pb2.GetRequest, never)
    with pytest.raises(DeadlineExceeded, match=r"Tasks.Get\(web\)"):
        await client.tasks.get("web", timeout=0.05)


async def test_the_daemon_is_told_a_deadline_a_little_after_ours(
    client: Containerd, fake: FakeContainerd
) -> None:
    loop = asyncio.get_running_loop()
    left: list[float] = []
    ends: list[float] = []

    async def get(request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        left.append(context.time_remaining())
        ends.append(loop.time() + left[-1])
        return tasks_pb2.GetResponse()

    fake.answers[TASK_GET] = (tasks_pb2.GetRequest, get)
    first = loop.time()
    await client.tasks.get("web")
    second = loop.time()
    await client.tasks.get("web", timeout=100)
    # The way there may take long: what is left says nothing of the least, nor the end of the most.
    assert ends[0] > first + 10
    assert left[0] < 12
    assert ends[1] > second + 100
    assert left[1] < 102


async def test_a_stream_that_stalls_ends_at_its_deadline(
    client: Containerd, fake: FakeContainerd
) -> None:
    async def stalls(
        request: content_pb2.ReadContentRequest, context: Any
    ) -> AsyncIterator[content_pb2.ReadContentResponse]:
        yield content_pb2.ReadContentResponse(data=b"x")
        await asyncio.Event().wait()

    fake.streams[READ] = (content_pb2.ReadContentRequest, stalls)
    with pytest.raises(DeadlineExceeded, match=r"Content\.Read"):
        await client.content.read("sha256:0", stall=0.05)


async def test_a_stream_s_error_is_translated(client: Containerd, fake: FakeContainerd) -> None:
    async def refuses(
        request: content_pb2.ReadContentRequest, context: Any
    ) -> AsyncIterator[content_pb2.ReadContentResponse]:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        yield content_pb2.ReadContentResponse()

    fake.streams[READ] = (content_pb2.ReadContentRequest, refuses)
    with pytest.raises(NotFound, match=r"Content.Read\(sha256:0\): no such blob"):
        await client.content.read("sha256:0")


@pytest.mark.parametrize("call", ["single", "stream"])
async def test_a_cancellation_by_the_server_does_not_pass_for_ours(
    client: Containerd, fake: FakeContainerd, call: str
) -> None:
    async def get(request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        await context.abort(grpc.StatusCode.CANCELLED, "shutting down")
        raise AssertionError

    async def read(
        request: content_pb2.ReadContentRequest, context: Any
    ) -> AsyncIterator[content_pb2.ReadContentResponse]:
        await context.abort(grpc.StatusCode.CANCELLED, "shutting down")
        yield content_pb2.ReadContentResponse()

    fake.answers[TASK_GET] = (tasks_pb2.GetRequest, get)
    fake.streams[READ] = (content_pb2.ReadContentRequest, read)
    with pytest.raises(Unavailable):
        await (client.tasks.get("web") if call == "single" else client.content.read("sha256:0"))


async def test_our_own_cancellation_stays_one(client: Containerd, fake: FakeContainerd) -> None:
    async def never(request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers[TASK_GET] = (tasks_pb2.GetRequest, never)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.tasks.get("web")


async def test_closing_the_client_ends_its_calls_with_unavailable(
    client: Containerd, fake: FakeContainerd
) -> None:
    asked = asyncio.Event()

    async def never(request: tasks_pb2.GetRequest, context: Any) -> tasks_pb2.GetResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        with pytest.raises(Unavailable):
            await client.tasks.get("web")

    fake.answers[TASK_GET] = (tasks_pb2.GetRequest, never)
    async with asyncio.TaskGroup() as group:
        group.create_task(ask())
        await asked.wait()
        await client.close()


async def test_a_missing_daemon_is_unavailable_at_once_and_back_when_it_is_back(
    fake: FakeContainerd, socket: Path
) -> None:
    loop = asyncio.get_running_loop()
    async with Containerd(socket, "ns") as client:
        began = loop.time()
        with pytest.raises(Unavailable, match=r"Version.Version\(\)"):
            await client.version()
        assert loop.time() - began < METADATA_S / 2
        async with serving(fake, socket), asyncio.timeout(60):
            while True:
                try:
                    await client.version()
                except Unavailable:
                    await asyncio.sleep(0.01)
                else:
                    break
        with pytest.raises(Unavailable):
            await client.version()
