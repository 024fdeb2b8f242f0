"""A login, and who knows which one belongs to which host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Login:
    """Name and password for a registry, or an identity token (OAuth 2 refresh token) in place of
    the password."""

    username: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class Keyring(Protocol):
    """The logins that may be used on behalf of one asker, such as a container."""

    async def login(self, host: str, repository: str) -> Login | None:
        """The login for ``host`` (name and port as in a reference, such as docker.io or that of a
        mirror), the longest match with ``host/repository`` first; None: ask without one.

        Raises RegistryError; RegistryUnavailable for what may pass.
        """
