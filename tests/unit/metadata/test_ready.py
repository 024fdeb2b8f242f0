"""Tests of how answers go out: whole, with the headers HTTP wants, and to those who listen."""

import asyncio
from email.utils import parsedate_to_datetime

import pytest

from metadata.front.asking import Answer
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.facts import FULL_TASK, Picture

PATH = b"/v4/id-web/task"


@pytest.fixture
async def port(serve: Serve) -> int:
    session = await serve(Picture([FULL_TASK]))
    assert session._base_url is not None
    assert session._base_url.port is not None
    return session._base_url.port


async def exchange(port: int, sent: bytes) -> list[bytes]:
    """The answers, each a head and a body, to bytes after which the server is to close."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        answers = await reader.read()
        writer.close()
        await writer.wait_closed()
    return [b"HTTP/1.1 " + each for each in answers.split(b"HTTP/1.1 ") if each]


def headers(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    names = [line.partition(": ")[0] for line in lines]
    assert len(set(names)) == len(names)
    return dict(line.partition(": ")[::2] for line in lines)


LAST = b"Host: x\r\nConnection: close\r\n\r\n"


async def test_every_answer_has_date_length_and_type(port: int) -> None:
    (answer,) = await exchange(port, b"GET %s HTTP/1.1\r\n%s" % (PATH, LAST))
    told = headers(answer)
    assert parsedate_to_datetime(told["Date"]).utcoffset() is not None
    assert int(told["Content-Length"]) == len(answer.partition(b"\r\n\r\n")[2])
    assert (told["Content-Type"], told["Connection"]) == ("application/json", "close")


async def test_a_connection_serves_until_the_client_asks_to_close_it(port: int) -> None:
    first = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % PATH
    answers = await exchange(port, first * 3 + b"GET %s HTTP/1.1\r\n%s" % (PATH, LAST))
    assert ["Connection" in headers(each) for each in answers] == [False, False, False, True]
    assert len({each.partition(b"\r\n\r\n")[2] for each in answers}) == 1


async def test_a_client_of_http_1_0_gets_one_answer(port: int) -> None:
    (answer,) = await exchange(port, b"GET %s HTTP/1.0\r\n\r\n" % PATH)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert headers(answer)["Connection"] == "close"


async def test_head_is_answered_without_a_body(port: int) -> None:
    asked = b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET %s HTTP/1.1\r\n%s" % (PATH, PATH, LAST)
    head, got = await exchange(port, asked)
    assert head.endswith(b"\r\n\r\n")
    assert headers(head)["Content-Length"] == headers(got)["Content-Length"]


@pytest.mark.parametrize(
    "value",
    [b"a\r\n X-Odd: b", b"a\rX-Odd: b", b"a\nX-Odd: b", b"a\x00b", b"\xff\xfe", b"a" * 8000],
)
async def test_what_is_reflected_is_one_header(value: bytes, port: int) -> None:
    asked = b"GET %s HTTP/1.1\r\nX-Forwarded-For: %s\r\n%s" % (PATH, value, LAST)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked)
        head = (await reader.read()).partition(b"\r\n\r\n")[0]
        writer.close()
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")}
    assert b"X-Odd" not in names
    if head.startswith(b"HTTP/1.1 200"):
        assert b"X-Rate-Limit-Request-Forwarded-For: " + value in head.split(b"\r\n")
    else:
        assert head.startswith(b"HTTP/1.0 400")


def test_the_head_names_status_and_own_headers() -> None:
    moved = Answer(b"", 301, headers={"Location": "/v4/x"})
    assert moved.head.startswith(b"HTTP/1.1 301 Moved Permanently\r\n")
    assert b"\r\nLocation: /v4/x\r\n" in moved.head
    assert moved.head is moved.head
