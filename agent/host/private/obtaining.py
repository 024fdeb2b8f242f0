"""Having all private variables of a task at once: each place asked once, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agent.host.private import members
from agent.host.private.envfile import EnvFileError
from agent.host.private.envfiles import EnvFiles, EnvFileUnavailable
from agent.host.provisions import ProvisionError, ProvisionUnavailable
from agent.host.secrets import GetKeys, SecretError, Secrets, SecretUnavailable
from agent.oci.inputs import Private
from agent.task.definition import ContainerDefinition
from agent.task.definition.value_from import ParameterId, SecretId, value_from
from agent.task.model import Task
from metadata.credentials.keys import CredentialsError, Keys

Kept = SecretId | ParameterId
T = TypeVar("T")
E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class Obtainer:
    """``execution_keys`` are those that a task's secrets are asked for with; None: the host's."""

    secrets: Secrets
    env_files: EnvFiles
    execution_keys: Callable[[Task], Awaitable[Keys | None]]

    async def obtain(self, task: Task) -> Mapping[str, Private]:
        """By container. Raises ProvisionError, or ProvisionUnavailable if all failures may pass.

        The text names each failure, with variable and container.
        """
        containers = task.definition.container_definitions
        keys = _Once(lambda: self.execution_keys(task)).get
        kept = {value_from(each.value_from).kept for one in containers for each in one.secrets}
        paths = {each.value for one in containers for each in one.environment_files}
        texts, files = await asyncio.gather(self._texts(kept, keys), self._files(paths, keys))
        found = _Found(texts, files)
        made = {each.name: found.private(each) for each in containers}
        found.raise_failures()
        return made

    async def _texts(self, kept: set[Kept], keys: GetKeys) -> Mapping[Kept, str | SecretError]:
        whole = [each for each in kept if isinstance(each, SecretId)]
        single = [each for each in kept if isinstance(each, ParameterId)]
        parameters, texts = await asyncio.gather(
            self.secrets.parameters(single, keys),
            asyncio.gather(*(_or(SecretError, self.secrets.secret(each, keys)) for each in whole)),
        )
        found: dict[Kept, str | SecretError] = dict(zip(whole, texts, strict=True))
        found.update(parameters.items())
        return found

    async def _files(
        self, paths: set[str], keys: GetKeys
    ) -> Mapping[str, Mapping[str, str] | EnvFileError]:
        read = await asyncio.gather(
            *(_or(EnvFileError, self.env_files.variables(each, keys)) for each in paths)
        )
        return dict(zip(paths, read, strict=True))


async def _or(kind: type[E], work: Awaitable[T]) -> T | E:
    """Its result, or its failure."""
    try:
        return await work
    except kind as error:
        return error


@dataclass(slots=True)
class _Once:
    """Keys that are obtained for the first who asks, if anybody does; a failure is all askers'."""

    obtain: GetKeys
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _found: list[Keys | CredentialsError | None] = field(default_factory=list, repr=False)

    async def get(self) -> Keys | None:
        """Raises CredentialsError."""
        async with self._turn:
            if not self._found:
                self._found.append(await _or(CredentialsError, self.obtain()))
        (found,) = self._found
        if isinstance(found, CredentialsError):
            raise found
        return found


@dataclass(slots=True)
class _Found:
    """What was had of each place, and the failures that matter, in the containers' order."""

    texts: Mapping[Kept, str | SecretError] = field(repr=False)
    files: Mapping[str, Mapping[str, str] | EnvFileError] = field(repr=False)
    _secrets_lacking: list[str] = field(default_factory=list)
    _files_lacking: list[str] = field(default_factory=list)
    _passes: bool = True

    def private(self, container: ContainerDefinition) -> Private:
        """What the container gets of it."""
        secrets = {
            each.name: self._secret(container.name, each.name, each.value_from)
            for each in container.secrets
        }
        from_files: dict[str, str] = {}
        for each in reversed(container.environment_files):  # the first file wins
            from_files.update(self._file(container.name, each.value))
        return Private(from_files, secrets)

    def raise_failures(self) -> None:
        """Raises ProvisionError, ProvisionUnavailable; texts as ECS's begin."""
        lacking = []
        if self._secrets_lacking:
            why = "; ".join(self._secrets_lacking)
            lacking.append(f"unable to pull secrets or registry auth: {why}")
        if self._files_lacking:
            lacking.append(f"failed to download env files: {'; '.join(self._files_lacking)}")
        if lacking:
            raise (ProvisionUnavailable if self._passes else ProvisionError)("; ".join(lacking))

    def _secret(self, container: str, name: str, place: str) -> str:
        wanted = value_from(place)
        found = self.texts[wanted.kept]
        try:
            if isinstance(found, SecretError):
                raise found
            return members.value(found, wanted.json_key)
        except SecretError as error:
            why = str(error) if error is found else f"{place}: {error}"
            self._secrets_lacking.append(f"secret {name} of container {container}: {why}")
            self._passes &= isinstance(error, SecretUnavailable)
            return ""

    def _file(self, container: str, value: str) -> Mapping[str, str]:
        found = self.files[value]
        if not isinstance(found, EnvFileError):
            return found
        self._files_lacking.append(f"container {container}: {found}")
        self._passes &= isinstance(found, EnvFileUnavailable)
        return {}
