"""The bytes of blobs: whole, in part, too many, too few, none."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from aiohttp import web

from agent.registry.errors import RegistryError, RegistryUnavailable
from tests.unit.registry.remote.site import (
    SETTINGS,
    Handler,
    descriptor_of,
    raw,
    repository,
    repository_at,
    saying,
    silent,
    taken,
)

DATA = bytes(range(256)) * 4096
BLOB = descriptor_of(DATA)
EMPTY = descriptor_of(b"")
PATH = f"/v2/team/app/blobs/{BLOB.digest}"


def streaming(*parts: bytes, status: int = 200, **headers: str) -> Handler:
    """The parts, of which nobody is told how many bytes they are."""

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = web.StreamResponse(status=status, headers=named)
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        return response

    return handler


async def ranges(request: web.BaseRequest) -> web.StreamResponse:
    """Does as Range says."""
    begin = request.http_range.start or 0
    told = f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"
    return web.Response(
        status=206 if begin else 200,
        body=DATA[begin:],
        headers={"Content-Range": told} if begin else {},
    )


@pytest.mark.parametrize("handler", [saying(200, DATA), streaming(DATA[:7], DATA[7:]), ranges])
async def test_a_whole_blob(handler: Handler) -> None:
    async with repository_at(handler) as (repo, asked_of):
        assert await taken(repo, BLOB) == DATA
    (asked,) = asked_of.asked
    assert (asked.method, asked.path) == ("GET", PATH)
    assert asked.headers.get("Range") is None
    assert asked.headers["Accept-Encoding"] == "identity"


async def test_what_is_compressed_stays_so() -> None:
    async with repository_at(saying(200, DATA, Content_Encoding="gzip")) as (repo, _):
        assert await taken(repo, BLOB) == DATA


@pytest.mark.parametrize("offset", [1, 100_000, len(DATA) - 1])
async def test_the_rest_of_a_blob(offset: int) -> None:
    async with repository_at(ranges) as (repo, asked_of):
        assert await taken(repo, BLOB, offset) == DATA[offset:]
    (asked,) = asked_of.asked
    assert asked.headers["Range"] == f"bytes={offset}-"


@pytest.mark.parametrize("total", [str(len(DATA)), "*"])
async def test_the_total_may_be_unknown(total: str) -> None:
    told = f"bytes 9-{len(DATA) - 1}/{total}"
    async with repository_at(saying(206, DATA[9:], Content_Range=told)) as (repo, _):
        assert await taken(repo, BLOB, 9) == DATA[9:]


@pytest.mark.parametrize("handler", [saying(200, DATA), streaming(DATA[:7], DATA[7:9], DATA[9:])])
@pytest.mark.parametrize("offset", [1, 8, 9, 100_000, len(DATA) - 1])
async def test_range_is_ignored(handler: Handler, offset: int) -> None:
    async with repository_at(handler) as (repo, _):
        assert await taken(repo, BLOB, offset) == DATA[offset:]


@pytest.mark.parametrize(
    "told",
    [
        None,
        "",
        "bytes",
        f"bytes 8-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 10-{len(DATA) - 1}/{len(DATA)}",
        f"bytes 9-{len(DATA)}/{len(DATA)}",
        f"bytes 9-{len(DATA) - 1}/{len(DATA) + 1}",
        f"bytes 9-8/{len(DATA)}",
        f"bytes */{len(DATA)}",
        f"bytes 9-{'9' * 30}/*",
        f"pages 9-{len(DATA) - 1}/{len(DATA)}",
    ],
)
async def test_another_part_than_was_asked_for(told: str | None) -> None:
    headers = {} if told is None else {"Content_Range": told}
    async with repository_at(saying(206, DATA[9:], **headers)) as (repo, asked_of):
        with pytest.raises(RegistryError) as caught:
            await taken(repo, BLOB, 9)
    assert str(caught.value) == (
        f"{asked_of.host}: asked for {BLOB.digest} from byte 9 of {len(DATA)}, it answers with"
        f" another part ({told or ''!r})"
    )
    assert not isinstance(caught.value, RegistryUnavailable)


@pytest.mark.parametrize("told", [f"bytes 0-{len(DATA) - 1}/{len(DATA)}", None])
async def test_all_of_it_as_a_part(told: str | None) -> None:
    """Some storages call every answer one."""
    headers = {} if told is None else {"Content_Range": told}
    async with repository_at(saying(206, DATA, **headers)) as (repo, asked_of):
        assert await taken(repo, BLOB) == DATA
    assert "Range" not in asked_of.asked[0].headers


async def test_a_part_that_nobody_asked_for() -> None:
    told = f"bytes 9-{len(DATA) - 1}/{len(DATA)}"
    async with repository_at(saying(206, DATA[9:], Content_Range=told)) as (repo, _):
        with pytest.raises(RegistryError, match="answers with another part"):
            await taken(repo, BLOB)


async def test_of_a_shorter_part_the_rest_is_missing() -> None:
    told = f"bytes 9-18/{len(DATA)}"
    async with repository_at(saying(206, DATA[9:19], Content_Range=told)) as (repo, _):
        with pytest.raises(RegistryUnavailable, match=f"ended {len(DATA) - 19} bytes before its"):
            await taken(repo, BLOB, 9)


@pytest.mark.parametrize("offset", [0, 5])
async def test_nothing_is_asked_where_nothing_is_to_come(offset: int) -> None:
    async with repository_at(saying(500)) as (repo, asked_of):
        assert await taken(repo, EMPTY, offset) == b""
        assert await taken(repo, BLOB, len(DATA) + offset) == b""
    assert asked_of.asked == []


@pytest.mark.parametrize(
    "handler", [streaming(DATA, b"x"), streaming(DATA + b"x"), streaming(*[DATA] * 20)]
)
@pytest.mark.parametrize("offset", [0, 5])
async def test_more_than_was_told(handler: Handler, offset: int) -> None:
    got = bytearray()
    async with repository_at(handler) as (repo, asked_of):
        with pytest.raises(RegistryError) as caught:
            await taken(repo, BLOB, offset, got)
    text = f"{asked_of.host}: {BLOB.digest} has more than {len(DATA)} bytes"
    assert (str(caught.value), type(caught.value)) == (text, RegistryError)
    assert DATA[offset:].startswith(got)


@pytest.mark.parametrize(("offset", "status"), [(0, 200), (9, 200), (9, 206)])
async def test_more_is_announced(offset: int, status: int) -> None:
    told = f"bytes {offset}-{len(DATA) - 1}/{len(DATA)}"
    sent = DATA[offset if status == 206 else 0 :] + b"x"
    handler = saying(status, sent, **({"Content_Range": told} if status == 206 else {}))
    async with repository_at(handler) as (repo, asked_of):
        with pytest.raises(RegistryError) as caught:
            await taken(repo, BLOB, offset)
    expected = f"{asked_of.host}: {BLOB.digest} has {len(DATA) + 1} bytes instead of {len(DATA)}"
    assert str(caught.value) == expected


async def test_a_body_without_end() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(DATA)

    async with repository_at(endless) as (repo, _):
        with pytest.raises(RegistryError, match="has more than"):
            await taken(repo, BLOB)


@pytest.mark.parametrize("handler", [streaming(DATA[:1000]), saying(200, DATA[:1000])])
async def test_less_than_was_told(handler: Handler) -> None:
    async with repository_at(handler) as (repo, asked_of):
        with pytest.raises(RegistryUnavailable) as caught:
            await taken(repo, BLOB)
    assert str(caught.value) == (
        f"{asked_of.host}: {BLOB.digest} ended {len(DATA) - 1000} bytes before its end at"
        f" {len(DATA)}"
    )


@pytest.mark.parametrize(
    "head",
    [
        f"Content-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:1000],
        b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + DATA[:1000] + b"\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n" + DATA[:1000] + b"junk\r\n",
    ],
)
async def test_the_connection_breaks(head: bytes) -> None:
    got = bytearray()
    async with raw(b"HTTP/1.1 200 OK\r\n" + head) as host, repository(f"{host}/a") as repo:
        with pytest.raises(RegistryUnavailable) as caught:
            await taken(repo, BLOB, got=got)
    assert str(caught.value).startswith(f"{host}: ")
    assert DATA[:1000].startswith(got)


async def test_what_came_before_the_break_is_given() -> None:
    """The caller goes on from there."""
    come = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        await response.write(DATA[:5000])
        await come.wait()
        assert request.transport
        request.transport.abort()
        return response

    got = bytearray()
    async with repository_at(handler) as (repo, _), aclosing(repo.blob(BLOB)) as chunks:
        while len(got) < 5000:
            got += await anext(chunks)
        come.set()
        with pytest.raises(RegistryUnavailable, match="the connection broke"):
            await anext(chunks)
    assert got == DATA[:5000]


@pytest.mark.parametrize("sent", [b"", DATA[:1000], DATA])
async def test_it_stops_coming(sent: bytes) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(sent)
        return await silent(request)

    async with repository_at(handler, settings=replace(SETTINGS, stall_s=0.2)) as (repo, site):
        with pytest.raises(RegistryUnavailable) as caught:
            await taken(repo, BLOB)
    assert str(caught.value) == f"{site.host}: nothing came for 0.2 s"


async def test_who_takes_his_time_breaks_nothing() -> None:
    """What is measured is the server's silence, not ours: here it waits for us."""
    data = bytes(16 * 1024 * 1024)
    blob = descriptor_of(data)
    async with repository_at(saying(200, data), settings=replace(SETTINGS, stall_s=2.0)) as (
        repo,
        _,
    ):
        got = 0
        async for chunk in repo.blob(blob):
            if not got:
                await asyncio.sleep(2.5)
            got += len(chunk)
    assert got == len(data)


async def test_a_blob_that_is_not_wanted_to_its_end() -> None:
    async with repository_at(streaming(*[DATA[:65536]] * 16)) as (repo, _):
        async with aclosing(repo.blob(BLOB)) as chunks:
            assert await anext(chunks)
        assert await taken(repo, BLOB) == DATA[:65536] * 16


async def test_many_at_once() -> None:
    async with repository_at(ranges) as (repo, asked_of):
        found = await asyncio.gather(*(taken(repo, BLOB, offset) for offset in range(20)))
    assert [len(each) for each in found] == [len(DATA) - offset for offset in range(20)]
    assert len(asked_of.asked) == 20


async def test_a_blob_that_is_not_there() -> None:
    handler = saying(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
    async with repository_at(handler) as (repo, asked_of):
        with pytest.raises(RegistryError) as caught:
            await taken(repo, BLOB)
    assert str(caught.value) == (
        f"{BLOB.digest} of {asked_of.host}/team/app:v1 not found at {asked_of.host}"
        " (BLOB_UNKNOWN: blob unknown)"
    )


async def test_a_registry_that_does_not_begin() -> None:
    async with repository_at(silent, settings=replace(SETTINGS, manifest_s=0.1)) as (repo, site):
        with pytest.raises(RegistryUnavailable) as caught:
            await taken(repo, BLOB)
    assert str(caught.value) == f"{site.host} has not answered in 0.1 s"


async def test_an_error_that_does_not_end() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=418)
        await response.prepare(request)
        return await silent(request)

    async with repository_at(handler, settings=replace(SETTINGS, stall_s=2.0)) as (repo, site):
        with pytest.raises(RegistryError) as caught:
            await taken(repo, BLOB)
    assert str(caught.value) == f"{site.host} answers 418 I'm a Teapot"
