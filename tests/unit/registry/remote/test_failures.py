"""How talking to a server fails: what may pass, what the texts say, and what they don't."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.remote.failures import NoConnection, NoTls, failures
from tests.unit.registry.remote.site import (
    SETTINGS,
    certs_d,
    in_turn,
    manifest,
    raw,
    repository,
    repository_at,
    silent,
)

PLACE = URL("https://me:hidden@r.example:5000/x?sig=hidden")


def tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "hidden")
    if reason is not None:
        error.reason = reason
    return error


def caused(cause: BaseException) -> aiohttp.ClientOSError:
    error = aiohttp.ClientOSError(1, "hidden")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (tls("WRONG_VERSION_NUMBER"), NoTls, "TLS fails (wrong version number): https may be"),
        (tls(None), NoTls, "TLS fails (no reason given)"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), RegistryError, "if it wants a certificate of"),
        (tls("SSLV3_ALERT_BAD_CERTIFICATE"), RegistryError, "(sslv3 alert bad certificate): if it"),
        (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), RegistryError, "if it wants a certificate of ours"),
        (tls("TLSV1_ALERT_UNKNOWN_CA"), RegistryError, "if it wants a certificate of ours"),
        (tls("UNEXPECTED_EOF_WHILE_READING"), NoConnection, "broke while TLS was being agreed on"),
        (ssl.SSLEOFError(8, "hidden"), NoConnection, "broke while TLS was being agreed on"),
        (ssl.SSLZeroReturnError(6, "hidden"), NoConnection, "broke while TLS was being agreed on"),
        (caused(tls("TLSV1_ALERT_UNKNOWN_CA")), RegistryError, "if it wants a certificate"),
        (aiohttp.ClientOSError(104, "hidden"), RegistryUnavailable, "the connection broke: Connec"),
        (aiohttp.ClientPayloadError("hidden"), RegistryUnavailable, "the connection broke"),
        (aiohttp.ServerDisconnectedError(), RegistryUnavailable, "the connection broke"),
        (aiohttp.ClientConnectionError("hidden"), RegistryUnavailable, "the connection broke"),
        (aiohttp.ConnectionTimeoutError("hidden"), NoConnection, "no connection in time"),
        (aiohttp.SocketTimeoutError("hidden"), RegistryUnavailable, "nothing came for 7 s"),
        (aiohttp.InvalidURL("hidden"), RegistryError, "not an address that can be asked"),
        (OSError(28, "hidden"), RegistryUnavailable, "No space left on device"),
        (OSError("hidden"), RegistryUnavailable, "OSError"),
        (UnicodeError("hidden"), RegistryError, "can't be the name of a host"),
    ],
)
def test_what_an_error_means(error: Exception, kind: type[Exception], says: str) -> None:
    with pytest.raises(RegistryError) as caught, failures(PLACE, 7.0):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith("r.example:5000: ")
    assert says in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), failures(PLACE, 7.0):
        raise ZeroDivisionError


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        async with repository(f"{host}/a") as repo:
            with pytest.raises(RegistryUnavailable) as caught:
                await repo.resolve()
    assert str(caught.value) == f"{host}: can't be reached: Connection refused"


async def test_a_name_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with repository("r.example/a") as repo:
        with pytest.raises(RegistryUnavailable) as caught:
            await repo.resolve()
    assert str(caught.value) == ("r.example: the name can't be resolved: Name or service not known")


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """Takes no connection: its queue is full."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listening.getsockname())
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_no_connection_within_the_dial_timeout(tmp_path: Path) -> None:
    async with deaf() as host:
        settings = certs_d(tmp_path, host, f'server = "http://{host}"\ndial_timeout = "100ms"')
        async with repository(f"{host}/a", settings=settings) as repo:
            with pytest.raises(RegistryUnavailable) as caught:
                await repo.resolve()
    assert str(caught.value) == f"{host}: no connection in time"


@pytest.mark.parametrize(
    "answer",
    [
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 40_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http(answer: bytes) -> None:
    async with raw(answer) as host, repository(f"{host}/a") as repo:
        with pytest.raises(RegistryUnavailable) as caught:
            await repo.resolve()
    assert str(caught.value) == (
        f"{host}: the answer is no proper HTTP: it may speak TLS where that was not expected, or"
        " be no registry"
    )


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX: "])
async def test_a_connection_that_ends_early(answer: bytes) -> None:
    async with raw(answer) as host, repository(f"{host}/a") as repo:
        with pytest.raises(RegistryUnavailable, match=f"{host}: the connection broke"):
            await repo.resolve()


async def test_headers_without_end() -> None:
    """Each comes in time, and no answer ever begins."""
    settings = replace(SETTINGS, stall_s=0.2)
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(raw(b"HTTP/1.1 200 OK\r\nX: ", close=False))
        repo = await stack.enter_async_context(repository(f"{host}/a", settings=settings))
        with pytest.raises(RegistryUnavailable) as caught:
            await repo.resolve()
    assert str(caught.value) == f"{host}: nothing came for 0.2 s"


async def test_giving_up_is_not_an_error_of_the_registry() -> None:
    patience = asyncio.timeout(None)

    async def unanswered(request: web.BaseRequest) -> web.StreamResponse:
        patience.reschedule(asyncio.get_running_loop().time())
        return await silent(request)

    async with repository_at(in_turn(unanswered, manifest)) as (repo, site):
        with pytest.raises(TimeoutError):
            async with patience:
                await repo.resolve()
        await repo.resolve()
        assert len(site.asked) == 2
