"""Secrets that are on this host in files, to be masked wherever they turn up. Blocking.

A file that can't be read has secrets that nobody knows: it is named.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from agent.config import Loaded
from agent.registry.errors import RegistryError
from agent.registry.logins import docker_config, engine_auth
from agent.registry.logins.login import Login
from agent.settings import Settings

_MOST_FILES = 2000
_MOST_BYTES = 1024 * 1024

_WORDS = ("secret", "token", "password", "key", "credential", "auth")


class Known:
    """What was found: ``values`` are secrets, ``others`` may be secret or not.

    ``unread`` are files that could not be read, with the reason.
    """

    def __init__(self) -> None:
        self.values: list[str] = []
        self.others: list[str] = []
        self.unread: list[str] = []

    def gather(self, loaded: Loaded, environ: Iterable[tuple[str, str]]) -> None:
        """From all places that settings name."""
        settings = loaded.settings
        for name, value in (*loaded.environment.items(), *environ):
            if any(each in name.lower() for each in _WORDS):
                self.values.append(value)
        self._engine_auth(settings)
        for path in (settings.credentials, settings.task_roles):
            self._ini(path)
        self._docker(settings.docker_config)
        for folder in (settings.secrets_dir, *_of_units()):
            for path in _files(folder):
                self.values += _secrets(self._text(path))
        for path in _files(settings.env_files_dir):
            self.others += _assigned(self._text(path))

    def _engine_auth(self, settings: Settings) -> None:
        if settings.engine_auth_data:
            self.values.append(settings.engine_auth_data)
            found = engine_auth.read(settings.engine_auth_type, settings.engine_auth_data)
            for _, login in found.logins:
                self.values += _login(login)

    def _ini(self, path: Path) -> None:
        parser = configparser.ConfigParser(
            interpolation=None, delimiters=("=",), default_section="\0", strict=False
        )
        text = self._text(path)
        try:
            parser.read_string(text)
        except configparser.Error:
            self.values += text.splitlines()
            return
        for section in parser.values():
            self.values += section.values()

    def _docker(self, path: Path) -> None:
        text = self._text(path)
        try:
            contents = docker_config.parse(text.encode())
        except (RegistryError, ValueError):
            self.values += _leaves(text)
            return
        for _, login in contents.logins:
            self.values += _login(login)

    def _text(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                return file.read(_MOST_BYTES).decode(errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.unread.append(f"{path}: {error.strerror}")
            return ""


def _of_units() -> Iterator[Path]:
    """Where systemd keeps credentials of services (systemd.exec(5), LoadCredential=)."""
    for unit in ("hostler.service", "hostler-logs.service"):
        yield Path("/run/credentials") / unit


def _files(folder: Path) -> list[Path]:
    def walk() -> Iterator[Path]:
        for root, _, names in os.walk(folder):
            yield from (Path(root, name) for name in sorted(names))

    return [each for each in islice(walk(), _MOST_FILES) if each.is_file()]


def _secrets(text: str) -> list[str]:
    """A secret as a whole, and what it consists of if it is JSON."""
    return [text, *_leaves(text)]


def _leaves(text: str) -> list[str]:
    try:
        return list(_texts(json.loads(text)))
    except (ValueError, RecursionError):
        return []


def _texts(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for each in value.values():
                yield from _texts(each)
        case list():
            for each in value:
                yield from _texts(each)
        case str():
            yield value
        case _:
            pass


def _assigned(text: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if "=" in line]


def _login(login: Login) -> list[str]:
    pair = f"{login.username}:{login.password}" if login.password else ""
    return [login.password, login.identity_token, pair]
