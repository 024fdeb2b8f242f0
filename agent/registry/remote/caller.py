"""Asks one host on behalf of one asker, and proves who that is where the host wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import aiohttp

from agent.registry.errors import RegistryError
from agent.registry.logins.login import Keyring, Login
from agent.registry.reference import Reference
from agent.registry.remote.answers import is_from, refusal, said_in
from agent.registry.remote.challenge import Challenge, parse
from agent.registry.remote.host import Host, name_of
from agent.registry.remote.tokens import Tokens, basic, cure, secrets_of, words_for
from agent.registry.remote.transport import Request, Transport

_MOST_PROOFS = 3
"""None, a token that was kept, one that another request got meanwhile, and a fresh one."""
_A_SECRET = 8
"""Characters from which on what an administrator configured is taken for a secret."""


@dataclass(frozen=True, slots=True)
class _Proof:
    """The value of an Authorization header. ``final``: there is no better one."""

    value: str = field(repr=False)
    final: bool


class Caller:
    """Requests for one repository to one host.

    The keyring is asked for a login only when the host asks for one, and once.
    """

    def __init__(
        self,
        host: Host,
        reference: Reference,
        keyring: Keyring,
        transport: Transport,
        tokens: Tokens,
    ) -> None:
        self.host = host
        self.stall_s = transport.stall_s
        self._reference = reference
        self._keyring = keyring
        self._transport = transport
        self._tokens = tokens
        self._asking = asyncio.Lock()
        self._asked = False
        self._login: Login | None = None
        self._challenge: Challenge | None = None

    async def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        statuses: Collection[int] = (200,),
    ) -> aiohttp.ClientResponse:
        """The answer to a request for ``path`` in the repository, if it has one of ``statuses``;
        its body is to be read, and it is to be closed.

        Raises RegistryError and RegistryUnavailable; with any other status too.
        """
        proof = await self._proof() if self._challenge else None
        response = await self._send(method, path, headers, proof)
        for _ in range(_MOST_PROOFS):
            challenge = self._challenge_in(response)
            if challenge is None or (proof and proof.final):
                break
            response.release()
            self._challenge = challenge
            proof = await self._proof(refused=proof)
            response = await self._send(method, path, headers, proof)
        if response.status in statuses:
            return response
        async with response:
            raise await self._refusal(response, path, proof)

    def _challenge_in(self, response: aiohttp.ClientResponse) -> Challenge | None:
        """How to prove who we are: with a token if there is a choice. Nothing is proved to others
        to whom the host redirects."""
        if response.status != 401 or not is_from(response, self.host.url):
            return None
        headers = response.headers.getall("WWW-Authenticate", [])
        known = {each.scheme: each for each in parse(headers)}
        return known.get("bearer") or known.get("basic")

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str], proof: _Proof | None
    ) -> aiohttp.ClientResponse:
        url = self.host.url.joinpath(*self._reference.repository.split("/"), *path.split("/"))
        if self.host.mirror_of:
            url = url.with_query(ns=self.host.mirror_of)
        private = self.host.terms.headers
        if proof:
            others = (each for each in private if each[0].lower() != "authorization")
            private = (*others, ("Authorization", proof.value))
        return await self._transport.send(Request(url, self.host, method, headers, private))

    async def _proof(self, refused: _Proof | None = None) -> _Proof:
        assert self._challenge
        login = await self._ask_keyring()
        if self._challenge.scheme == "bearer":
            token = await self._tokens.token(
                self.host,
                self._challenge,
                self._reference.repository,
                login,
                refused.value.removeprefix("Bearer ") if refused else "",
            )
            return _Proof(f"Bearer {token.text}", token.fresh)
        if login is None:
            raise RegistryError(f"{self.host.name} asks for a login: {cure(self.host)}")
        if login.identity_token:
            raise RegistryError(
                f"{self.host.name} takes a name and a password, and of {words_for(login)} there is"
                " only an identity token"
            )
        return _Proof(basic(login), final=True)

    async def _ask_keyring(self) -> Login | None:
        async with self._asking:
            if not self._asked:
                self._login = await self._keyring.login(self.host.name, self._reference.repository)
                self._asked = True
        return self._login

    async def _refusal(
        self, response: aiohttp.ClientResponse, path: str, proof: _Proof | None
    ) -> RegistryError:
        place = self.host.name
        if not is_from(response, self.host.url):
            # Nothing of its words: they may quote the address, with what signs it.
            return refusal(response, f"{name_of(response.url)}, to which {place} redirects,", "")
        said = await said_in(response, self.stall_s, self._secrets(proof))
        if response.status == 404:
            missing, asked = str(self._reference), path.partition("/")[2]
            if asked not in (self._reference.tag, self._reference.digest):
                missing = f"{asked} of {missing}"
            return RegistryError(f"{missing} not found at {place}{said}")
        if response.status in (401, 403):
            return RegistryError(
                f"{place} does not give {self._reference}{said}: {self._used(proof)}"
            )
        return refusal(response, place, said)

    def _secrets(self, proof: _Proof | None) -> tuple[str, ...]:
        configured = (value for _, value in self.host.terms.headers if len(value) >= _A_SECRET)
        sent = (proof.value.partition(" ")[2],) if proof else ()
        return tuple(filter(None, (*sent, *secrets_of(self._login), *configured)))

    def _used(self, proof: _Proof | None) -> str:
        if proof and self._login:
            return f"{words_for(self._login)} was used, check it, what it may pull, and the name"
        return f"no login was used; if the name is right, {cure(self.host)}"
