"""The images of one repository: what a name stands for, manifests, blobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.reference import Reference
from agent.registry.remote.blobs import chunks, open_blob
from agent.registry.remote.caller import Caller
from agent.registry.remote.failures import NoConnection, NoTls
from agent.registry.remote.host import PULL, RESOLVE, Host
from agent.registry.remote.manifests import get_manifest, resolve

T = TypeVar("T")


class Repository:
    """What the hosts of one registry have under one name, asked with the logins of one asker.

    Each host is asked in turn until one gives what is wanted. ``hosts`` is called for each
    request. ``deadline_s`` is for all but the bytes of a blob, and each host has an equal share of
    it, so that one that hangs leaves time for the next; ``stall_s`` is how long no bytes may come.
    """

    def __init__(
        self,
        reference: Reference,
        hosts: Callable[[], Awaitable[tuple[Host, ...]]],
        caller: Callable[[Host], Caller],
        deadline_s: float,
        stall_s: float,
    ) -> None:
        self._reference = reference
        self._hosts = hosts
        self._caller = caller
        self._callers: dict[Host, Caller] = {}
        self._deadline_s = deadline_s
        self._stall_s = stall_s

    async def resolve(self) -> Descriptor:
        """What the reference stands for now: a manifest or an index, by its digest.

        Raises RegistryError, and RegistryUnavailable for what may pass.
        """
        needed = PULL if self._reference.digest else RESOLVE
        return await self._first(needed, lambda caller: resolve(caller, self._reference))

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, checked against size and digest.

        Raises RegistryError, and RegistryUnavailable for what may pass.
        """
        return await self._first(PULL, lambda caller: get_manifest(caller, descriptor))

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes]:
        """The bytes of a blob from ``offset`` on, as they come; their digest is not checked here.

        Never more than its size. Raises RegistryUnavailable if they break off, to be asked again
        with the offset reached; RegistryError if there are more.
        """
        if offset >= descriptor.size:
            return
        response, skip = await self._first(
            PULL, lambda caller: open_blob(caller, descriptor, offset)
        )
        async with aclosing(chunks(response, descriptor, offset, skip, self._stall_s)) as parts:
            async for part in parts:
                yield part

    async def _first(self, needed: frozenset[str], ask: Callable[[Caller], Awaitable[T]]) -> T:
        """What the first host gives that has it. The error of the last says whether it may pass."""
        failed: list[RegistryError] = []
        able = [each for each in await self._hosts() if needed <= each.terms.capabilities]
        for host in able:
            if host.plan_b and not _unmet(failed):
                continue
            caller = self._callers.setdefault(host, self._caller(host))
            share_s = self._deadline_s / len(able)
            try:
                async with asyncio.timeout(share_s):
                    return await ask(caller)
            except TimeoutError:
                text = f"{host.name} has not answered in {share_s:g} s"
                failed.append(RegistryUnavailable(text))
            except RegistryError as error:
                failed.append(error)
        raise _all_of(failed, self._reference)


def _unmet(failed: list[RegistryError]) -> bool:
    return bool(failed) and isinstance(failed[-1], NoConnection | NoTls)


def _all_of(failed: list[RegistryError], reference: Reference) -> RegistryError:
    if not failed:
        return RegistryError(
            f"{reference}: no host in hosts.toml of {reference.registry} has the capabilities"
            " pull and resolve"
        )
    last = failed[-1]
    if len(failed) == 1:
        return last
    text = "; ".join(map(str, failed))
    if isinstance(last, RegistryUnavailable):
        return RegistryUnavailable(text, last.retry_after_s)
    return RegistryError(text)
