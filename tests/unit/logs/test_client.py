import socket
from collections.abc import Iterator

import pytest

from agent.logs.client import Client
from agent.logs.protocol import MAX_REPLY, MAX_REQUEST, ProtocolError


@pytest.fixture
def ends() -> Iterator[tuple[Client, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Client(ours), theirs
    ours.close()
    theirs.close()


def test_requests_are_taken_from_the_bytes_as_they_come(ends: tuple[Client, socket.socket]) -> None:
    client, other = ends
    other.send(b'{"op":"a"}\n{"op"')
    assert list(client.requests()) == [{"op": "a"}]
    assert list(client.requests()) == []
    other.send(b':"b"}\n')
    assert list(client.requests()) == [{"op": "b"}]
    assert not client.gone


def test_a_client_that_closes_is_gone(ends: tuple[Client, socket.socket]) -> None:
    client, other = ends
    other.close()
    assert list(client.requests()) == []
    assert client.gone


def test_an_endless_request_is_refused(ends: tuple[Client, socket.socket]) -> None:
    client, other = ends
    with pytest.raises(ProtocolError):  # noqa: PT012 - how many sends it takes is the kernel's
        for _ in range(MAX_REQUEST // 16_384 + 2):
            other.send(b"x" * 16_384)
            list(client.requests())


def test_replies_wait_for_a_slow_reader(ends: tuple[Client, socket.socket]) -> None:
    client, other = ends
    client.queue({"x": "y" * 3_000_000})
    assert not client.flush()
    received = b""
    while not received.endswith(b"\n"):
        received += other.recv(1_000_000)
        client.flush()
    assert len(received) > 3_000_000


def test_a_reader_that_never_reads_is_given_up(ends: tuple[Client, socket.socket]) -> None:
    client, _ = ends
    client.queue({"x": "y" * (MAX_REPLY + 1)})
    with pytest.raises(BrokenPipeError):
        client.flush()
