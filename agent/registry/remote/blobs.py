"""The bytes of a blob as they come, never more of them than were told."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

import aiohttp

from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.remote.caller import Caller
from agent.registry.remote.failures import failures
from agent.registry.remote.host import name_of

_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


async def open_blob(
    caller: Caller, blob: Descriptor, offset: int
) -> tuple[aiohttp.ClientResponse, int]:
    """The answer that holds the blob from ``offset`` on, and how many bytes of it are to be
    skipped: a server may send all of it. Raises RegistryError and RegistryUnavailable."""
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    response = await caller.open("GET", f"blobs/{blob.digest}", headers, (200, 206))
    try:
        return response, _skipped(response, blob, offset)
    except RegistryError:
        response.close()
        raise


def _skipped(response: aiohttp.ClientResponse, blob: Descriptor, offset: int) -> int:
    place = name_of(response.url)
    begins = 0
    if response.status == 206:
        told = response.headers.get("Content-Range", "")
        if not _fits(told, blob.size, offset):
            raise RegistryError(
                f"{place}: asked for {blob.digest} from byte {offset} of {blob.size}, it answers"
                f" with another part ({told[:80]!r})"
            )
        begins = offset
    length = response.content_length
    if length is not None and begins + length > blob.size:
        raise RegistryError(
            f"{place}: {blob.digest} has {begins + length} bytes instead of {blob.size}"
        )
    return offset - begins


def _fits(told: str, size: int, offset: int) -> bool:
    """Whether a Content-Range begins where it should and goes no further than the end."""
    if not told and not offset:
        return True  # all of it, as far as anybody has said
    found = _RANGE.fullmatch(told)
    if not found:
        return False
    first, last, total = int(found[1]), int(found[2]), found[3]
    return first == offset and first <= last < size and total in ("*", str(size))


async def chunks(
    response: aiohttp.ClientResponse, blob: Descriptor, offset: int, skip: int, stall_s: float
) -> AsyncGenerator[bytes]:
    """The bytes from ``offset`` to the end; closes the response.

    Raises RegistryError after the last byte if there are more than told, RegistryUnavailable if
    they end early or stop coming.
    """
    place = name_of(response.url)
    left = blob.size - offset
    async with response:
        while True:
            with failures(response.url, stall_s):
                chunk = await response.content.readany()
            if not chunk:
                break
            if skip:
                skip, chunk = skip - min(skip, len(chunk)), chunk[skip:]
            if len(chunk) > left:
                raise RegistryError(f"{place}: {blob.digest} has more than {blob.size} bytes")
            left -= len(chunk)
            if chunk:
                yield chunk
    if left:
        raise RegistryUnavailable(
            f"{place}: {blob.digest} ended {left} bytes before its end at {blob.size}"
        )
