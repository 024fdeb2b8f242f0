"""The ECS agent's setting of logins, ECS_ENGINE_AUTH_DATA. Pure.

Reference: Amazon ECS developer guide, "Private registry authentication for container instances".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.registry.logins import scopes
from agent.registry.logins.entries import decoded, login
from agent.registry.logins.login import Login


@dataclass(frozen=True, slots=True)
class EngineAuth:
    """Logins by scope."""

    logins: tuple[tuple[str, Login], ...] = field(default=(), repr=False)

    def login(self, host: str, repository: str) -> Login | None:
        """The login whose registry is the longest beginning of ``host/repository``, or None."""
        return scopes.best(self.logins, host, repository)


def read(form: str, data: str) -> EngineAuth:
    """The logins in ``data``, whose form is ``docker`` or ``dockercfg``; none in "".

    Raises ValueError that ends a sentence about the data and quotes nothing of it.
    """
    if not data:
        return EngineAuth()
    if not form:
        raise ValueError("ECS_ENGINE_AUTH_TYPE must say its form, docker or dockercfg")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    match found:
        case dict():
            return EngineAuth(tuple(_logins(form, found)))
        case _:
            raise ValueError("must be a JSON object of registries")


def _logins(form: str, found: Mapping[str, object]) -> Iterator[tuple[str, Login]]:
    for number, (registry, entry) in enumerate(found.items(), start=1):
        try:
            yield scopes.scope(registry), _login(form, entry)
        except ValueError as error:
            raise ValueError(f"registry {number} of {len(found)}: {error}") from None


def _login(form: str, entry: object) -> Login:
    match form, entry:
        case "docker", {"username": str(username), "password": str(password)} if username:
            return login(username, password)
        case "docker", _:
            raise ValueError("it must have a username and a password")
        case _, {"auth": str(auth)}:
            return decoded(auth)
        case _:
            raise ValueError("it must have auth, as in Docker's configuration below auths")
