"""Logins for Amazon ECR's private registries: tokens that ECR gives to whoever has AWS keys.

Reference: Amazon ECR user guide, "Private registry authentication"; ECR API, GetAuthorizationToken.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from agent.aws import Aws, AwsError, AwsUnavailable, AwsUnusable, Question
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.login import Login
from metadata.credentials.keys import Keys

ENTRIES = 100
LONGEST_S = 12 * 3600.0
_SPARE_S = 30 * 60.0
"""A token that is given out holds so long at least, if ECR gave it for longer than thrice that."""

_HOST = re.compile(
    r"([0-9]{12})\.dkr(?:\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"|-ecr(?:-fips)?\.([a-z0-9-]+)\.on\.aws)"
)

GetKeys = Callable[[], Awaitable[Keys | None]]
"""Obtains the asker's keys; None: those of the host. Raises RegistryError."""


class EcrUnusable(RegistryError):
    """This host has nothing to ask ECR with, so somebody else may know a login."""


class Registry(NamedTuple):
    """One account's registry in one region."""

    id: str
    region: str


@dataclass(frozen=True, slots=True)
class _Token:
    """A login, and until when it is given out."""

    login: Login
    until: float


_Key = tuple[Registry, str]
"""A registry, and the role that asks; "" is the host itself."""


def registry(host: str) -> Registry | None:
    """The private registry of ECR that ``host`` is, or None. Public ones need no login."""
    found = _HOST.fullmatch(host.lower())
    return Registry(found[1], found[2] or found[3]) if found else None


@dataclass(slots=True)
class Ecr:
    """Asks ECR for tokens, and keeps them until shortly before they expire."""

    aws: Aws
    clock: Callable[[], float] = time.time
    _tokens: OrderedDict[_Key, _Token] = field(default_factory=OrderedDict, repr=False)
    _turns: WeakValueDictionary[_Key, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def login(self, asked: Registry, role: str, keys: GetKeys) -> Login:
        """The login for a registry of ``role``, whose ``keys`` are obtained when needed.

        Raises EcrUnusable, RegistryUnavailable, RegistryError, and what ``keys`` raises.
        """
        key = asked, role
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            token = self._tokens.get(key)
            if token is None or token.until <= self.clock():
                token = await self._token(asked, await keys())
                self._tokens[key] = token
            self._tokens.move_to_end(key)
            while len(self._tokens) > ENTRIES:
                self._tokens.popitem(last=False)
            return token.login

    async def _token(self, asked: Registry, keys: Keys | None) -> _Token:
        question = Question(
            "ecr", "get_authorization_token", {"registryIds": [asked.id]}, asked.region, keys
        )
        what = f"unable to get a login for the ECR registry {asked.id} in {asked.region}"
        try:
            return self._read(await self.aws.ask(question))
        except AwsUnavailable as error:
            raise RegistryUnavailable(f"{what}: {error}") from None
        except AwsUnusable as error:
            raise EcrUnusable(f"{what}: {error}") from None
        except AwsError as error:
            raise RegistryError(f"{what}: {error}") from None
        except (LookupError, ValueError):
            raise RegistryError(f"{what}: its answer has no token") from None

    def _read(self, answer: dict[str, Any]) -> _Token:
        """Raises LookupError, ValueError."""
        given = answer["authorizationData"][0]
        username, colon, password = b64decode(given["authorizationToken"]).decode().partition(":")
        if not colon:
            raise ValueError
        now = self.clock()
        life = min(given["expiresAt"].timestamp() - now, LONGEST_S)
        return _Token(Login(username, password), now + life - min(_SPARE_S, life / 3))
