"""Docker's config.json, and podman's auth.json: logins, and helpers that keep logins.

Reference: docker/cli, "docker login", sections "Credential stores" and "Credential helpers";
containers-auth.json(5).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import helper, scopes
from agent.registry.logins.entries import decoded, login
from agent.registry.logins.login import Login

log = logging.getLogger(__name__)

SIZE_LIMIT = 1024 * 1024

_Stamp = tuple[int, int, int, int]
"""Changes with what a file holds: device, inode, size, time."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Logins and helpers' names by scope; ``store`` is the helper for all other registries."""

    logins: tuple[tuple[str, Login], ...] = field(default=(), repr=False)
    helpers: tuple[tuple[str, str], ...] = ()
    store: str = ""


@dataclass(slots=True)
class DockerConfig:
    """The file at ``path``, which need not be there; read again when it has changed."""

    path: Path
    _read: tuple[_Stamp, Contents] | None = field(default=None, repr=False)
    _warned: bool = False

    async def login(self, host: str, repository: str) -> Login | None:
        """What the helper for ``host`` has, or else the file itself for ``host/repository``.

        Raises RegistryError, RegistryUnavailable.
        """
        contents = await asyncio.to_thread(self._contents)
        name = scopes.best(contents.helpers, host, repository) or contents.store
        if name:
            try:
                found = await helper.get(name, host)
            except RegistryUnavailable as error:
                raise RegistryUnavailable(f"{self.path}: {error}") from None
            except RegistryError as error:
                raise RegistryError(f"{self.path}: {error}") from None
            if found is not None:
                return found
        return scopes.best(contents.logins, host, repository)

    def _contents(self) -> Contents:
        try:
            return self._fresh()
        except FileNotFoundError:
            return Contents()
        except OSError as error:
            raise RegistryUnavailable(f"{self.path} can't be read: {error.strerror}") from None
        except ValueError as error:
            raise RegistryError(f"{self.path}: {error}") from None

    def _fresh(self) -> Contents:
        """Raises OSError, ValueError."""
        # A FIFO in its place must not keep us waiting.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if self._read is not None and self._read[0] == stamp:
                return self._read[1]
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(SIZE_LIMIT + 1)
        finally:
            os.close(descriptor)
        contents = parse(content)
        self._warn_once(contents, found.st_mode)
        self._read = stamp, contents
        return contents

    def _warn_once(self, contents: Contents, mode: int) -> None:
        if contents.logins and mode & 0o077 and not self._warned:
            self._warned = True
            log.warning(
                "%s has logins and is open to others (mode %04o): chmod 600 it",
                self.path,
                stat.S_IMODE(mode),
            )


def parse(content: bytes) -> Contents:
    """Raises ValueError with where and what is wrong; it quotes no login."""
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"has more than {SIZE_LIMIT} bytes")
    try:
        text = content.decode("utf-8-sig")
        found = _File.model_validate(json.loads(text) if text.strip() else {})
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} column {error.colno}: is not JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValidationError as error:
        raise ValueError(_wrong(error)) from None
    helpers = ((scopes.scope(registry), name) for registry, name in (found.helpers or {}).items())
    return Contents(tuple(_logins(found.auths or {})), tuple(helpers), found.store)


class _Entry(BaseModel):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _File(BaseModel):
    auths: dict[str, _Entry] | None = None
    helpers: dict[str, str] | None = Field(default=None, alias="credHelpers")
    store: str = Field(default="", alias="credsStore")


def _logins(entries: Mapping[str, _Entry]) -> Iterator[tuple[str, Login]]:
    """Raises ValueError. An empty entry is there for what a helper keeps."""
    for registry, entry in entries.items():
        try:
            made = decoded(entry.auth) if entry.auth else login(entry.username, entry.password)
        except ValueError as error:
            raise ValueError(f"auths: {_shown(registry)}: {error}") from None
        if entry.identitytoken:
            made = Login(made.username, made.password, entry.identitytoken)
        if made != Login(""):
            yield scopes.scope(registry), made


def _wrong(error: ValidationError) -> str:
    """Where the first error is, and what must be there."""
    first = error.errors(include_input=False)[0]
    what = "text" if first["type"].startswith("string") else "a JSON object"
    return ": ".join([*(_shown(str(part)) for part in first["loc"]), f"must be {what}"])


def _shown(part: str) -> str:
    """Without a login in front of a host, which does not belong there."""
    return part.rpartition("@")[2]
