"""A token server for Debian's docker-registry: who may do what, and who asked for a token how.

The registry takes what is signed with the key of a certificate that it was given. Three ways to
ask: GET without a login, GET with a user's password, and POST, with a user's password or with a
refresh token that an earlier answer had (``offline_token`` or ``access_type``).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from aiohttp import BasicAuth, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.system.certificates import self_signed
from tests.system.serving import served

SERVICE, ISSUER = "lab-registry", "lab-tokens"
PUBLIC = "public/"
"""Whoever has no login may pull what is below this."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a token. ``user`` is empty without a login; ``status`` is the answer's."""

    method: str
    fields: Mapping[str, str]
    user: str
    status: int


@dataclass(slots=True)
class TokenServer:
    """Tests may change all of it while it runs. ``users``: passwords by name.

    ``refresh``: users by refresh token. ``lifetime_s`` of tokens. ``named``: under which fields an
    answer carries its token. ``refusals``: statuses with which the next requests are answered.
    """

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    lifetime_s: int = 60
    named: tuple[str, ...] = ("token", "access_token")
    refusals: list[int] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    realm: str = ""

    @property
    def config(self) -> dict[str, object]:
        """What goes under ``auth`` in a docker-registry's configuration."""
        bundle = self.folder / "tokens.pem"
        bundle.write_bytes(_certificate().public_bytes(serialization.Encoding.PEM))
        parts = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER}
        return {"token": {**parts, "rootcertbundle": str(bundle)}}

    async def answer(self, request: web.Request) -> web.Response:
        """Handles GET and POST."""
        given = await request.post() if request.method == "POST" else request.query
        fields = {name: str(value) for name, value in given.items()}
        scopes = [one for each in given.getall("scope", []) for one in str(each).split()]
        user = self._user(request, fields)
        status = self.refusals.pop(0) if self.refusals else 401 if user is None else 200
        self.asked.append(Asked(request.method, fields, user or "", status))
        if status != 200:
            return web.json_response({"details": "no token"}, status=status)
        return web.json_response(self._granted(user or "", scopes, fields))

    def token(self, user: str, scopes: list[str]) -> str:
        """A token with what ``user`` may do of ``scopes``; everything if it has a name."""
        access = [granted for each in scopes if (granted := _grant(user, each))]
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": SERVICE,
            "nbf": now - 10,
            "iat": now,
            "exp": now + self.lifetime_s,
            "jti": f"{len(self.asked)}",
            "access": access,
        }
        return _signed(claims)

    def _granted(
        self, user: str, scopes: list[str], fields: Mapping[str, str]
    ) -> dict[str, object]:
        signed = self.token(user, scopes)
        answer: dict[str, object] = dict.fromkeys(self.named, signed)
        answer["expires_in"] = self.lifetime_s
        if user and (fields.get("offline_token") or fields.get("access_type") == "offline"):
            answer["refresh_token"] = f"refresh-{user}"
            self.refresh[f"refresh-{user}"] = user
        return answer

    def _user(self, request: web.Request, fields: Mapping[str, str]) -> str | None:
        """Whose login this is; empty without one, None if it is wrong."""
        if request.method == "POST":
            if fields.get("grant_type") == "refresh_token":
                return self.refresh.get(fields.get("refresh_token", ""))
            return self._known(fields.get("username", ""), fields.get("password", ""))
        header = request.headers.get("Authorization")
        if header is None:
            return ""
        login = BasicAuth.decode(header)
        return self._known(login.login, login.password)

    def _known(self, user: str, password: str) -> str | None:
        return user if user in self.users and self.users[user] == password else None


@contextmanager
def token_server(folder: Path, **users: str) -> Iterator[TokenServer]:
    """A running one; ``users``: passwords by name. ``folder`` is for its certificate."""
    server = TokenServer(folder, users)
    application = web.Application()
    application.router.add_route("*", "/token", server.answer)
    with served(application) as port:
        server.realm = f"http://127.0.0.1:{port}/token"
        yield server


def _grant(user: str, scope: str) -> dict[str, object] | None:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    wanted = [each for each in actions.split(",") if user or each == "pull"]
    if not wanted or not (user or name.startswith(PUBLIC)):
        return None
    return {"type": kind, "name": name, "actions": wanted}


def _signed(claims: Mapping[str, object]) -> str:
    chain = base64.b64encode(_certificate().public_bytes(serialization.Encoding.DER)).decode()
    header = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
    content = ".".join(_encoded(json.dumps(each).encode()) for each in (header, claims))
    signature = _key().sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{content}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def _certificate() -> x509.Certificate:
    return self_signed(_key(), ISSUER)
