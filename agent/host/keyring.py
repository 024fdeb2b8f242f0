"""The logins that a container's image may be fetched with, in the order that ECS has.

The container's own (repositoryCredentials), for the registry of its image and no other host; ECR's,
with the keys of the task's execution role; then the host's: ECS_ENGINE_AUTH_DATA, Docker's
configuration.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from agent.host.secrets import GetKeys, SecretError, Secrets, SecretUnavailable
from agent.registry import reference
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import ecr, entries
from agent.registry.logins.docker_config import DockerConfig
from agent.registry.logins.ecr import Ecr, EcrUnusable
from agent.registry.logins.engine_auth import EngineAuth
from agent.registry.logins.login import Keyring, Login
from agent.task.model import Task
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys


@dataclass(frozen=True, slots=True)
class Keyrings:
    """Keyrings, each of which is for one pull: it remembers what it has found."""

    docker: DockerConfig
    engine: EngineAuth
    ecr: Ecr
    secrets: Secrets
    execution_keys: Callable[[Task], Awaitable[Keys | None]]

    def of(self, task: Task, container_name: str) -> Keyring:
        """That of a container of the task's. Raises InvalidReference."""
        definition = task.container(container_name)
        others = _Hosts(self, task.execution_role, lambda: self.execution_keys(task))
        if definition.repository_credentials is None:
            return others
        return _Containers(
            registry=reference.parse(definition.image).registry,
            secret=definition.repository_credentials.credentials_parameter,
            secrets=self.secrets,
            others=others,
        )

    def host(self) -> Keyring:
        """That of the host itself, for what people fetch."""
        return _Hosts(self, "", _own_keys)


async def _own_keys() -> None:
    """The host's."""


@dataclass(slots=True)
class _Once:
    """Remembers what was found, also that it was nothing. Who asks meanwhile waits."""

    _found: dict[str, Login | None] = field(default_factory=dict, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def get(
        self, what: str, find: Callable[[], Coroutine[Any, Any, Login | None]]
    ) -> Login | None:
        """``what`` as it was found first. Raises what ``find`` raises."""
        async with self._turn:
            if what not in self._found:
                self._found[what] = await find()
            return self._found[what]


@dataclass(frozen=True, slots=True)
class _Hosts:
    """The logins of the host, and those that ECR gives to whom the ``keys`` are of."""

    rings: Keyrings
    role: str
    keys: GetKeys
    _known: _Once = field(default_factory=_Once)

    async def login(self, host: str, repository: str) -> Login | None:
        """As ``Keyring.login``."""
        private = ecr.registry(host)
        if private is None:
            return await self._kept(host, repository)
        try:
            return await self.rings.ecr.login(private, self.role, self._keys)
        except EcrUnusable:
            kept = await self._kept(host, repository)
            if kept is None:
                raise
            return kept

    async def _kept(self, host: str, repository: str) -> Login | None:
        """Of those that somebody has put on this host."""
        found = self.rings.engine.login(host, repository)
        if found is not None:
            return found
        return await self._known.get(
            f"{host}/{repository}", lambda: self.rings.docker.login(host, repository)
        )

    async def _keys(self) -> Keys | None:
        try:
            return await self.keys()
        except CredentialsUnavailable as error:
            raise RegistryUnavailable(str(error)) from None
        except CredentialsError as error:
            raise RegistryError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Containers:
    """The login in a ``secret`` for one ``registry``. For all ``others`` it is worth nothing."""

    registry: str
    secret: str
    secrets: Secrets
    others: _Hosts
    _known: _Once = field(default_factory=_Once)

    async def login(self, host: str, repository: str) -> Login | None:
        """As ``Keyring.login``."""
        if host.lower() != self.registry.lower():
            return await self.others.login(host, repository)
        return await self._known.get(self.secret, self._read)

    async def _read(self) -> Login:
        try:
            text = await self.secrets.text(self.secret, self.others.keys)
        except SecretUnavailable as error:
            raise RegistryUnavailable(str(error)) from None
        except SecretError as error:
            raise RegistryError(str(error)) from None
        return self._login(text)

    def _login(self, text: str) -> Login:
        try:
            match json.loads(text):
                case {"username": str(username), "password": str(password)} if username:
                    return entries.login(username, password)
                case _:
                    pass
        except (ValueError, RecursionError):
            pass
        raise RegistryError(
            f"secret {self.secret} must be a JSON object with username and password, "
            'such as {"username": "...", "password": "..."}'
        )
