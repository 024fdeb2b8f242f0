"""The client against a router that misbehaves; the real one is in tests/system/test_logs.py."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.host.logrouter import LogRouter, LogRouterError, LogRouterTimeout
from agent.logs.protocol import SOCKET_NAME, Stream

STREAM = Stream("c1", "/log/c1", "/run/c1-out", "/run/c1-err")
Reply = Callable[[dict[str, Any]], bytes | None]


@asynccontextmanager
async def answering(folder: Path, reply: Reply) -> AsyncIterator[list[dict[str, Any]]]:
    """A router that answers as told; None for no answer. Gives the requests it got."""
    requests: list[dict[str, Any]] = []
    served: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(done := asyncio.Event())
        requests.append(json.loads(await reader.readline()))
        answer = reply(requests[-1])
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()
        await writer.wait_closed()
        done.set()

    server = await asyncio.start_unix_server(serve, folder / SOCKET_NAME)
    async with server:
        yield requests
        for event in served:
            await event.wait()


def ok(_request: dict[str, Any]) -> bytes:
    return b'{"seq":1,"ok":true,"streams":[],"stopped":true}\n'


async def test_open_sends_the_whole_stream(tmp_path: Path) -> None:
    async with answering(tmp_path, ok) as requests:
        await LogRouter(tmp_path).open(STREAM)
    assert requests == [{"seq": 1, "op": "open", "stream": STREAM._asdict()}]


async def test_close_names_the_container(tmp_path: Path) -> None:
    async with answering(tmp_path, ok) as requests:
        await LogRouter(tmp_path).close("c1")
    assert requests == [{"seq": 1, "op": "close", "id": "c1"}]


async def test_a_router_that_answers_is_not_started_again(tmp_path: Path) -> None:
    async with answering(tmp_path, ok) as requests:
        await LogRouter(tmp_path).ensure_running()
    assert [request["op"] for request in requests] == ["ping"]


async def test_a_refusal_says_what_the_router_said(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: b'{"ok":false,"error":"max-size: no"}\n'):
        with pytest.raises(LogRouterError, match="max-size: no"):
            await LogRouter(tmp_path).open(STREAM)


async def test_nonsense_is_an_error(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: b"hello\n"):
        with pytest.raises(LogRouterError, match="makes no sense"):
            await LogRouter(tmp_path).streams()


async def test_a_close_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    async with answering(tmp_path, lambda _: None):
        with pytest.raises(LogRouterTimeout, match="close"):
            await LogRouter(tmp_path).close("c1", deadline_s=0.05)


async def test_a_request_cut_off_is_sent_again(tmp_path: Path) -> None:
    answers = iter([b"", ok({}), ok({})])
    async with answering(tmp_path, lambda _: next(answers)) as requests:
        await LogRouter(tmp_path).open(STREAM)
    assert [request["op"] for request in requests] == ["open", "ping", "open"]


async def test_a_router_that_keeps_ending_is_reported(tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> bytes:
        return ok(request) if request["op"] == "ping" else b""

    async with answering(tmp_path, reply):
        with pytest.raises(LogRouterError, match="keeps ending"):
            await LogRouter(tmp_path).open(STREAM)


async def test_where_there_is_no_router_it_has_stopped(tmp_path: Path) -> None:
    assert await LogRouter(tmp_path).stop_if_idle() is True


@pytest.mark.parametrize(
    ("service", "asked"), [(True, ["ping"]), (False, ["ping", "stop_if_idle"])]
)
async def test_one_that_is_a_service_is_left_alone_at_the_end(
    tmp_path: Path, service: bool, asked: list[str]
) -> None:
    def reply(_request: dict[str, Any]) -> bytes:
        return json.dumps({"ok": True, "service": service, "stopped": True}).encode() + b"\n"

    async with answering(tmp_path, reply) as requests:
        await LogRouter(tmp_path).leave()
    assert [request["op"] for request in requests] == asked


async def test_where_there_is_none_nothing_is_left(tmp_path: Path) -> None:
    await LogRouter(tmp_path).leave()
    assert list(tmp_path.iterdir()) == []
