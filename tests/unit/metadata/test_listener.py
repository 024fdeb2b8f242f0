"""Tests of sockets: whose they are, how long clients may take, how many there may be."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web

from metadata.agentapi.protection import Protection
from metadata.agentapi.room import AgentApi
from metadata.endpoint import Endpoint
from metadata.front import listener
from metadata.front.listener import Bounds, Listeners
from metadata.source import Owner
from metadata.stats.sampler import Sampler
from tests.unit.metadata.conftest import Serve, listening
from tests.unit.metadata.facts import FULL_TASK, OWNER, Picture

REQUEST = b"GET /v4/id-web/task HTTP/1.1\r\nHost: x\r\n\r\n"
HELD_BACK = b"PUT /api/x/task-protection/v1/state HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
QUICK = Bounds(timeout_s=1.0, connections=3)
"""Where somebody is to be let go; what is to be answered is so much sooner, even on a busy host."""
PATIENT = Bounds(timeout_s=60.0, connections=3)


@pytest.fixture
async def listeners() -> AsyncIterator[Endpoint]:
    sampler = Sampler()
    listeners = Endpoint(Picture([FULL_TASK]), sampler)
    yield listeners
    await listeners.close_all()
    sampler.close()


async def opened(serve: Serve, bounds: Bounds) -> int:
    """The port of a new socket."""
    session = await serve(Picture([FULL_TASK]), bounds=bounds)
    assert session._base_url is not None
    port = session._base_url.port
    assert port is not None
    return port


@pytest.fixture
async def port(serve: Serve) -> int:
    return await opened(serve, QUICK)


@pytest.fixture
async def patient(serve: Serve) -> int:
    """A port that lets nobody go, so that only what was asked for closes a connection."""
    return await opened(serve, PATIENT)


@pytest.fixture
def _no_end_of_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing waits for what is owed for longer than any test."""
    monkeypatch.setattr(listener, "_OWED_S", 100.0)
    monkeypatch.setattr(listener, "_CLOSE_TIMEOUT_S", 100.0)


async def until_connected(listeners: Endpoint) -> None:
    """The socket ``one`` has taken a connection that it owes an answer to."""
    one = listeners._listeners._listeners["one"]
    async with asyncio.timeout(20):
        while not one._owed:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the other side closes; a reset is a close as well."""
    async with asyncio.timeout(30):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def status(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST[:-2] + b"Connection: close\r\n\r\n")
    answer = await rest(reader)
    writer.close()
    return answer[:12]


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v4/id", REQUEST[:-2], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123"]
)
async def test_a_client_that_does_not_finish_its_request_is_let_go(sent: bytes, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await rest(reader)
    writer.close()


async def test_an_idle_connection_is_closed_after_its_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"}")
    writer.close()


async def test_a_client_that_takes_no_answer_in_is_let_go(port: int) -> None:
    """The kernel ends the connection, so the sender sees an error in time."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012
            async with asyncio.timeout(60):
                while True:
                    await loop.sock_sendall(client, REQUEST * 100)
    assert await status(port) == b"HTTP/1.1 200"


async def test_a_connection_above_the_limit_takes_the_place_of_one_that_is_idle(
    serve: Serve,
) -> None:
    session = await serve(Picture([FULL_TASK]), bounds=Bounds(timeout_s=60, connections=3))
    assert session._base_url is not None
    assert session._base_url.port is not None
    port = session._base_url.port
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    assert await status(port) == b"HTTP/1.1 200"
    (first, _), (second, writer), _ = held
    assert await rest(first) == b""
    writer.write(REQUEST)
    assert (await second.readline()).startswith(b"HTTP/1.1 200")
    for _, each in held:
        each.close()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_ten_thousand_idle_connections_to_one_socket_harm_nobody(
    listeners: Endpoint,
) -> None:
    """Not other tasks, nor other clients of the same: descriptors and memory stay bounded."""
    socks = {key: listening() for key in ("crowded", "other")}
    ports = {key: sock.getsockname()[1] for key, sock in socks.items()}
    await listeners.serve(socks["crowded"], OWNER, "crowded")
    await listeners.serve(socks["other"], OWNER, "other")
    loop, before = asyncio.get_running_loop(), open_files()
    idle: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for number in range(10_000):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", ports["crowded"]))
            idle.append(client)
            if number % 1000 == 999:
                assert await status(ports["other"]) == b"HTTP/1.1 200"
                assert await status(ports["crowded"]) == b"HTTP/1.1 200"
                assert open_files() - before - len(idle) <= 80
        crowd = listeners._listeners._listeners["crowded"]
        assert len(crowd._connections.connections) <= 64


@pytest.mark.parametrize(
    "broken",
    [
        b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(100)) + b"\r\n",
        b"GET / HTTP/7\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NOSUCHMETHOD / HTTP/1.1\r\n\r\n",
        b"GET /v4/x HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_a_broken_request_is_answered_400_and_not_logged(
    broken: bytes, patient: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", patient)
    writer.write(broken)
    answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"Server: hostler\r\n" in answer
    assert b"aiohttp" not in answer
    writer.close()
    assert [each for each in caplog.records if each.levelno > logging.DEBUG] == []


async def test_each_socket_shows_its_owners_task_until_it_is_closed(listeners: Endpoint) -> None:
    socks = {key: listening() for key in ("own", "other")}
    ports = {key: sock.getsockname()[1] for key, sock in socks.items()}
    await listeners.serve(socks["own"], OWNER, "own")
    await listeners.serve(socks["other"], Owner("task-two"), "other")
    assert await status(ports["own"]) == b"HTTP/1.1 200"
    assert await status(ports["other"]) == b"HTTP/1.1 404"

    await listeners.close("own")
    await listeners.close("own")
    with pytest.raises(ConnectionRefusedError):
        await status(ports["own"])
    assert await status(ports["other"]) == b"HTTP/1.1 404"

    await listeners.close_all()
    assert [sock.fileno() for sock in socks.values()] == [-1, -1]


async def test_a_key_is_served_once_at_a_time(listeners: Endpoint) -> None:
    await listeners.serve(listening(), OWNER, "one")
    with listening() as second:
        with pytest.raises(ValueError, match="one"):
            await listeners.serve(second, OWNER, "one")
        await listeners.close("one")
        await listeners.serve(second, OWNER, "one")
        assert await status(second.getsockname()[1]) == b"HTTP/1.1 200"
        await listeners.close("one")


@pytest.mark.usefixtures("_no_end_of_patience")
async def test_closing_does_not_wait_for_idle_clients(listeners: Endpoint) -> None:
    sock = listening()
    address = sock.getsockname()
    await listeners.serve(sock, OWNER, "one")
    reader, writer = await asyncio.open_connection(*address)
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(30):
        await listeners.close("one")
    await rest(reader)
    writer.close()


async def test_no_request_is_refused_while_a_duplicate_of_the_socket_is_kept(
    listeners: Endpoint,
) -> None:
    sock = listening()
    with sock.dup() as kept:
        await listeners.serve(sock, OWNER, "one")
        await listeners.close("one")
        reader, writer = await asyncio.open_connection(*kept.getsockname())
        writer.write(REQUEST)
        await listeners.serve(kept.dup(), OWNER, "one")
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


class Asking:
    """A client's connection, by which the event loop is not held up nor run."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)

    def ask(self, request: bytes = REQUEST) -> None:
        self.socket.sendall(request)

    async def answer(self) -> bytes:
        """All that the other side says until it closes. Raises ConnectionResetError."""
        self.socket.settimeout(0)
        said = b""
        async with asyncio.timeout(30):
            while more := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
                said += more
        self.socket.close()
        return said


@pytest.mark.usefixtures("_no_end_of_patience")
@pytest.mark.parametrize("turns", range(12))
async def test_whoever_has_connected_is_answered_by_this_listener_or_the_next(
    turns: int, listeners: Endpoint
) -> None:
    """However far the event loop had come with a connection when the listener was closed."""
    sock = listening()
    with sock.dup() as kept:
        await listeners.serve(sock, OWNER, "one")
        every = [Asking(kept.getsockname()) for _ in range(20)]
        for each in every:
            each.ask()
        for _ in range(turns):
            await asyncio.sleep(0)
        await listeners.close("one")
        await listeners.serve(kept.dup(), OWNER, "one")
        listeners.end()  # who was not answered yet is soon
        for each in every:
            said = await each.answer()
            assert (said[:12], said[-1:]) == (b"HTTP/1.1 200", b"}"), said


@pytest.mark.usefixtures("_no_end_of_patience")
async def test_a_request_on_its_way_when_listening_ends_is_answered(listeners: Endpoint) -> None:
    sock = listening()
    await listeners.serve(sock, OWNER, "one")
    slow = Asking(sock.getsockname())
    slow.ask(REQUEST[:20])
    await until_connected(listeners)
    closing = asyncio.gather(listeners.close("one"))
    await asyncio.sleep(0.01)
    assert not closing.done()
    slow.ask(REQUEST[20:])
    assert (await slow.answer()).startswith(b"HTTP/1.1 200")
    await closing


async def test_a_client_that_asks_nothing_is_waited_for_no_longer_than_that(
    listeners: Endpoint,
) -> None:
    sock = listening()
    await listeners.serve(sock, OWNER, "one")
    silent = Asking(sock.getsockname())
    await until_connected(listeners)
    async with asyncio.timeout(30):
        await listeners.close("one")
    assert await silent.answer() == b""


@pytest.mark.usefixtures("_no_end_of_patience")
async def test_a_client_that_leaves_is_waited_for_no_more(listeners: Endpoint) -> None:
    sock = listening()
    await listeners.serve(sock, OWNER, "one")
    leaving = Asking(sock.getsockname())
    await until_connected(listeners)
    closing = asyncio.gather(listeners.close("one"))
    await asyncio.sleep(0.01)
    assert not closing.done()
    leaving.socket.close()
    async with asyncio.timeout(30):
        await closing


async def test_before_the_end_clients_are_told_not_to_keep_their_connection(
    listeners: Endpoint,
) -> None:
    sock = listening()
    await listeners.serve(sock, OWNER, "one")
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Connection:" not in head
    listeners.end()
    writer.write(REQUEST)
    said = await rest(reader)
    assert b"\r\nConnection: close\r\n" in said
    writer.close()
    await status(sock.getsockname()[1])


async def test_who_is_being_answered_keeps_the_place() -> None:
    """And when all are, a further one is closed at once."""
    going_on, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        asked.release()
        await going_on.wait()
        return web.Response(text="done")

    listeners = Listeners(PATIENT)
    sock = listening()
    port = sock.getsockname()[1]
    await listeners.serve(sock, answer, "one")
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for _, writer in held:
        writer.write(REQUEST)
        await asked.acquire()
    reader, late = await asyncio.open_connection("127.0.0.1", port)
    assert await rest(reader) == b""
    late.close()
    going_on.set()
    for reader, writer in held:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    await listeners.close_all()


@pytest.mark.parametrize(
    "line", [b"OPTIONS *", b"CONNECT a:80", b"CONNECT /v4/id-web", b"GET http://h?x"]
)
async def test_a_target_without_a_path_is_a_plain_404_and_not_logged(
    line: bytes, patient: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", patient)
    writer.write(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await rest(reader)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"404 page not found\n")
    assert caplog.text == ""


async def test_a_body_in_chunks_of_a_byte_each_is_not_read_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Each costs as much as a kilobyte, and meanwhile nobody is answered."""
    session = await serve(Picture([FULL_TASK]), bounds=Bounds(timeout_s=60))
    assert session._base_url is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", session._base_url.port)
    writer.write(REQUEST[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000)
    await rest(reader)
    writer.close()
    assert caplog.text == ""


async def test_little_is_received_in_one_go(listeners: Endpoint) -> None:
    sock = listening()
    await listeners.serve(sock, OWNER, "one")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 32 << 10


async def test_who_does_not_send_its_body_gives_way_to_a_new_client(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """On the host's network all users share a socket: one must not keep the others out."""
    agent_api = AgentApi(Protection(Picture([FULL_TASK]), Mock()), Mock())
    bounds = Bounds(timeout_s=60, connections=3)
    session = await serve(Picture([FULL_TASK]), bounds=bounds, agent_api=agent_api)
    assert session._base_url is not None
    port = session._base_url.port
    assert port is not None
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for _, writer in held:
        writer.write(HELD_BACK)
    for _ in range(10):
        assert await status(port) == b"HTTP/1.1 200"
    assert await rest(held[0][0]) == b""
    for _, writer in held:
        writer.close()
    assert caplog.text == ""


async def test_who_leaves_before_all_of_the_body_is_not_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    agent_api = AgentApi(Protection(Picture([FULL_TASK]), Mock()), Mock())
    session = await serve(Picture([FULL_TASK]), agent_api=agent_api)
    assert session._base_url is not None
    port = session._base_url.port
    assert port is not None
    for linger in (False, True):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HELD_BACK + b"123")
        if linger:
            assert await status(port) == b"HTTP/1.1 200"  # the body is awaited by now
        writer.close()
        await writer.wait_closed()
    for _ in range(3):
        assert await status(port) == b"HTTP/1.1 200"
    assert caplog.text == ""
