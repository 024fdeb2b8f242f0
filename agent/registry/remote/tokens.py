"""Docker's token authentication: short-lived tokens for one repository, from a server that the
registry names."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

import aiohttp
from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.logins.login import Login
from agent.registry.remote.answers import refusal, said_in, whole
from agent.registry.remote.challenge import Challenge
from agent.registry.remote.host import Host, name_of
from agent.registry.remote.transport import Request, Transport, url_from

MAX_ANSWER = 1024 * 1024
MAX_KEPT = 1000
LIFETIME_S = 60.0
"""Of a token whose server does not say how long it lives."""
MAX_LIFETIME_S = 24 * 3600.0

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a token is for. The login is part of it: nobody gets the token of another's."""

    host: Host
    realm: URL
    service: str
    scope: str
    login: Login | None


@dataclass(slots=True)
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Token:
    """``fresh``: it was made for this very request."""

    text: str = field(repr=False)
    fresh: bool


class Tokens:
    """Gets tokens, and keeps them in memory for as long as they live."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: OrderedDict[_Wanted, _Kept] = OrderedDict()

    async def token(
        self,
        host: Host,
        challenge: Challenge,
        repository: str,
        login: Login | None,
        refused: str = "",
    ) -> Token:
        """A token that lets ``login`` (None: anybody) pull from the repository, other than
        ``refused``. Raises RegistryError and RegistryUnavailable."""
        wanted = _Wanted(
            host,
            _realm(host, challenge),
            challenge.params.get("service", ""),
            _scope(challenge, repository),
            login,
        )
        kept = self._kept.setdefault(wanted, _Kept())
        self._kept.move_to_end(wanted)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:  # layers come at the same time, and one token does for all
            if kept.token and kept.token != refused and monotonic() < kept.until:
                return Token(kept.token, fresh=False)
            asked_at = monotonic()
            kept.token, lifetime_s = await self._get(wanted)
            kept.until = asked_at + lifetime_s
            return Token(kept.token, fresh=True)

    async def _get(self, wanted: _Wanted) -> tuple[str, float]:
        if wanted.login and wanted.login.identity_token:
            oauth = {"grant_type": "refresh_token", "refresh_token": wanted.login.identity_token}
            return await self._ask(wanted, _post(wanted, oauth))
        request = _get(wanted)
        async with await self._transport.send(request) as response:
            if response.status not in (404, 405) or not wanted.login:
                return await self._read(wanted, response)
        password = {
            "grant_type": "password",
            "username": wanted.login.username,
            "password": wanted.login.password,
        }
        return await self._ask(wanted, _post(wanted, password))

    async def _ask(self, wanted: _Wanted, request: Request) -> tuple[str, float]:
        async with await self._transport.send(request) as response:
            return await self._read(wanted, response)

    async def _read(self, wanted: _Wanted, response: aiohttp.ClientResponse) -> tuple[str, float]:
        place = f"{name_of(wanted.realm)}, the token server of {wanted.host.name},"
        stall_s = self._transport.stall_s
        if response.status != 200:
            said = await said_in(response, stall_s, secrets_of(wanted.login))
            if response.status in (400, 401, 403):
                text = f"{place} refuses {words_for(wanted.login)}{said}"
                raise RegistryError(text if wanted.login else f"{text}: {cure(wanted.host)}")
            raise refusal(response, place, said)
        try:
            return _token_in(json.loads(await whole(response, MAX_ANSWER, stall_s)))
        except (ValueError, RecursionError):
            raise RegistryError(f"{place} answers with something that holds no token") from None


def basic(login: Login) -> str:
    """The login as the value of an Authorization header (RFC 7617)."""
    return f"Basic {b64encode(f'{login.username}:{login.password}'.encode()).decode()}"


def secrets_of(login: Login | None) -> tuple[str, ...]:
    """What of a login must be in no text, in all forms in which it is sent."""
    if login is None:
        return ()
    found = (login.password, login.identity_token, basic(login).removeprefix("Basic "))
    return tuple(each for each in found if each)


def words_for(login: Login | None) -> str:
    """The login as our texts call it."""
    if login is None:
        return "to answer without a login"
    return f"the login {login.username!r}" if login.username else "the login"


def cure(host: Host) -> str:
    """What to do where a login is lacking."""
    return f"log in with `docker login {host.name}` or give the container repositoryCredentials"


def _realm(host: Host, challenge: Challenge) -> URL:
    """Where tokens are had. A login goes there: so it must be as safe as the registry itself."""
    try:
        realm = url_from(challenge.params.get("realm", ""))
        usable = realm.host and realm.port and not (realm.raw_user or realm.raw_password)
    except ValueError:
        realm, usable = URL(), False
    if realm.scheme not in ("http", "https") or not usable:
        raise RegistryError(f"{host.name} asks for a token but names no server that has them")
    if realm.scheme == "http" and host.url.scheme != "http":
        raise RegistryError(
            f"{host.name} names a token server without TLS, http://{name_of(realm)}:"
            " no login is sent there"
        )
    return realm


def _scope(challenge: Challenge, repository: str) -> str:
    """What the registry asks for, as a mirror may have the repository under another name; of the
    actions only ``pull``."""
    scopes = [each for each in challenge.params.get("scope", "").split() if each.count(":") >= 2]
    named = [each.rpartition(":")[0] for each in scopes if each.startswith("repository:")]
    return " ".join(f"{name}:pull" for name in named or [f"repository:{repository}"])


def _get(wanted: _Wanted) -> Request:
    query = {"service": wanted.service, "scope": wanted.scope}
    private = _private(wanted)
    if wanted.login:
        query["account"] = wanted.login.username
        private = (*private, ("Authorization", basic(wanted.login)))
    realm = wanted.realm.extend_query({name: value for name, value in query.items() if value})
    return Request(realm, wanted.host, private=private)


def _post(wanted: _Wanted, grant: Mapping[str, str]) -> Request:
    form = {"service": wanted.service, "scope": wanted.scope, "client_id": "hostler", **grant}
    return Request(wanted.realm, wanted.host, "POST", private=_private(wanted), form=form)


def _private(wanted: _Wanted) -> tuple[tuple[str, str], ...]:
    """What the administrator set for the registry is for the registry's own token server too."""
    same = wanted.realm.origin() == wanted.host.url.origin()
    headers = wanted.host.terms.headers if same else ()
    return tuple(each for each in headers if each[0].lower() != "authorization")


def _token_in(document: object) -> tuple[str, float]:
    """The token and for how many seconds it is good. Raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError("not an object")  # noqa: TRY004
    for token in (document.get("token"), document.get("access_token")):
        if isinstance(token, str) and _TOKEN.fullmatch(token):
            match document.get("expires_in"):
                case int(seconds) | float(seconds) if seconds > 0:
                    return token, float(min(seconds, MAX_LIFETIME_S))
            return token, LIFETIME_S
    raise ValueError("no token")
