"""Tests of the client that asks at a steady pace."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bench.metadata.probe import Client

ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Answers requests when it is allowed to."""

    def __init__(self) -> None:
        self.allowed = asyncio.Event()
        self.status = 200
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                await reader.readuntil(b"\r\n\r\n")
                await self.allowed.wait()
                writer.write(ANSWER % self.status)
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/task"
    yield made
    listening.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    made = Client(server.url)
    await made.open()
    yield made
    await made.close()


async def test_an_answer_is_timed_from_when_its_request_was_due(
    server: Server, client: Client
) -> None:
    server.allowed.set()
    await client.ask(asyncio.get_running_loop().time() - 7)
    assert client.taken_s[0] >= 7
    assert client.failed == 0


async def test_requests_wait_for_a_free_connection_and_none_is_lost(
    server: Server, client: Client
) -> None:
    due = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as asking:
        for _ in range(100):
            asking.create_task(client.ask(due))
        await asyncio.sleep(0)
        assert client.taken_s == []
        server.allowed.set()
    assert len(client.taken_s) == 100


async def test_refusals_are_counted(server: Server, client: Client) -> None:
    server.allowed.set()
    server.status = 500
    await client.ask(0)
    assert client.failed == 1
