"""All registries: what requests to them have in common."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from agent import VERSION
from agent.registry.logins.login import Keyring
from agent.registry.reference import Reference
from agent.registry.remote.caller import Caller
from agent.registry.remote.host import Host
from agent.registry.remote.hosts import hosts_for
from agent.registry.remote.proxies import Proxies
from agent.registry.remote.repository import Repository
from agent.registry.remote.tokens import Tokens
from agent.registry.remote.transport import Transport

MAX_HEADER = 32 * 1024
"""Bytes of one header: a redirect's URL may carry a long signature."""


def _environ() -> Mapping[str, str]:
    return dict(os.environ)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """``hosts_dirs``: the folders of ``certs.d``. ``insecure``: registries (name and port as in
    references) that are spoken to without checking who they are, and without TLS if they have
    none. ``stall_s``: how long nothing may come. ``manifest_s``: for all that is asked of the
    hosts of a registry until one gives a manifest or begins to give a blob. ``environ`` names the
    proxies."""

    hosts_dirs: tuple[Path, ...]
    insecure: frozenset[str]
    stall_s: float
    manifest_s: float
    environ: Mapping[str, str] = field(default_factory=_environ, repr=False)


class Registries:
    """An async context manager: connections and tokens are kept until it is left."""

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._open = AsyncExitStack()
        self._transport: Transport
        self._tokens: Tokens

    async def __aenter__(self) -> Self:
        # Nothing of aiohttp's own: neither netrc and proxies nor cookies; and nothing is to be
        # compressed on its way, for digests are of what has come.
        session = await self._open.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"hostler/{VERSION}", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
            )
        )
        self._transport = Transport(
            session, Proxies(self._settings.environ), self._settings.stall_s
        )
        self._tokens = Tokens(self._transport)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def repository(self, reference: Reference, keyring: Keyring) -> Repository:
        """The repository of a reference, asked with the logins of ``keyring`` alone."""

        async def hosts() -> tuple[Host, ...]:
            return await asyncio.to_thread(
                hosts_for, reference.registry, self._settings.hosts_dirs, self._settings.insecure
            )

        def caller(host: Host) -> Caller:
            return Caller(host, reference, keyring, self._transport, self._tokens)

        return Repository(
            reference, hosts, caller, self._settings.manifest_s, self._settings.stall_s
        )
