"""What registries answer where it isn't the image: bodies up to a limit, and what refusals mean."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.remote.failures import failures
from agent.registry.remote.host import name_of

MAX_ERROR = 64 * 1024
MAX_SAID = 300
"""Characters of a registry's own words in our texts."""

MAX_RETRY_AFTER_S = 24 * 3600.0

_GZIP = ("gzip", "x-gzip")


async def whole(response: aiohttp.ClientResponse, limit: int, stall_s: float) -> bytes:
    """All of a body, unpacked if it comes compressed, though nobody asked for that.

    Raises RegistryError if it has more than ``limit`` bytes, RegistryUnavailable if it does not
    come.
    """
    parts: list[bytes] = []
    left = limit
    unpacked = _unpacked(response)
    with failures(response.url, stall_s):
        while packed := await response.content.readany():
            part = unpacked(packed, left)
            left -= len(part)
            if left < 0:
                raise RegistryError(
                    f"{name_of(response.url)}: an answer of more than {limit} bytes"
                )
            parts.append(part)
    return b"".join(parts)


def _unpacked(response: aiohttp.ClientResponse) -> Callable[[bytes, int], bytes]:
    """What makes parts of the body of what is sent; little more than so many bytes of each."""
    if response.headers.get("Content-Encoding", "").strip().lower() not in _GZIP:
        return lambda part, _: part
    gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def unpacked(part: bytes, most: int) -> bytes:
        try:
            return gzip.decompress(part, most + 1)
        except zlib.error:
            raise RegistryError(f"{name_of(response.url)}: an answer that is no gzip") from None

    return unpacked


async def said_in(
    response: aiohttp.ClientResponse, stall_s: float, secrets: Collection[str] = ()
) -> str:
    """What a refusal says in its own words, fit for our texts, as `` (words)``; may be empty.

    ``secrets`` are left out, should the server repeat what it was sent.
    """
    try:
        body = await whole(response, MAX_ERROR, stall_s)
        words = "; ".join(_words_in(json.loads(body)))
    except (RegistryError, ValueError, RecursionError):
        return ""
    for secret in secrets:
        words = words.replace(secret, "...")
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    if len(words) > MAX_SAID:
        words = f"{words[: MAX_SAID - 3]}..."
    return f" ({words})" if words else ""


def _words_in(document: object) -> Iterator[str]:
    """The texts in the forms of the distribution specification, Docker's token server, OAuth 2."""
    match document:
        case {"errors": [*errors]}:
            for error in errors:
                yield from _words_of(error)
        case {"details": str(words)} | {"error_description": str(words)} | {"error": str(words)}:
            yield words
        case _:
            pass


def _words_of(error: object) -> Iterator[str]:
    match error:
        case {"code": str(code), "message": str(message)}:
            yield f"{code}: {message}"
        case {"code": str(words)} | {"message": str(words)}:
            yield words
        case _:
            pass


def refusal(response: aiohttp.ClientResponse, place: str, said: str) -> RegistryError:
    """What a status means that has no meaning of its own to the one who asked."""
    status = response.status
    if status == 429:
        return RegistryUnavailable(f"{place} wants fewer requests (429){said}", _wait(response))
    text = f"{place} answers {_named(status)}{said}"
    if status >= 500 or status == 408:
        return RegistryUnavailable(text, _wait(response))
    return RegistryError(text)


def is_from(response: aiohttp.ClientResponse, url: URL) -> bool:
    """Whether the answer is from the origin of ``url``, and not from one it redirects to."""
    return response.url.origin() == url.origin()


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _wait(response: aiohttp.ClientResponse) -> float | None:
    return retry_after(response.headers.get("Retry-After", ""), time.time())


def retry_after(text: str, now: float) -> float | None:
    """Seconds from ``now`` (epoch) in a Retry-After header (RFC 9110 section 10.2.3), at most a
    day; None if it says nothing that can be understood."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return (
            float(text) if len(text) < 6 and float(text) < MAX_RETRY_AFTER_S else MAX_RETRY_AFTER_S
        )
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
