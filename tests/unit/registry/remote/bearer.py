"""A registry that asks for tokens, and the server that has them."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

from agent.registry.logins.login import Login
from agent.registry.remote.registries import Registries
from agent.registry.remote.repository import Repository
from tests.unit.registry.remote.site import (
    Asked,
    Handler,
    Keys,
    Site,
    manifest,
    named,
    registries,
    saying,
    site,
)

PASSWORD = "hidden-password"
IDENTITY = "hidden-identity"
TOKEN = "hidden-token"
ME = Login("me", PASSWORD)
BASIC = saying(401, WWW_Authenticate='Basic realm="x"')


def basic(login: Login) -> str:
    """The login in an Authorization header."""
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


@dataclass(slots=True)
class Bearer:
    """A registry that takes the tokens of ``good``, and a token server that gives what is next."""

    scope: str = ',scope="repository:team/app:pull"'
    good: set[str] = field(default_factory=lambda: {TOKEN})
    realm: str = ""
    then: Handler = manifest

    async def registry(self, request: web.BaseRequest) -> web.StreamResponse:
        said = request.headers.get("Authorization", "")
        if said.removeprefix("Bearer ") in self.good:
            return await self.then(request)
        challenge = f'Bearer realm="{self.realm}",service="r.example"{self.scope}'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})


@dataclass(slots=True)
class Two:
    """The registry and its token server, both running."""

    bearer: Bearer
    registry: Site
    server: Site
    opened: Registries

    def repository(self, login: Login | None = None, rest: str = "team/app:v1") -> Repository:
        keys = Keys({self.registry.host: login} if login else {})
        return self.opened.repository(named(self.registry.host, rest), keys)


def granting(**more: object) -> Handler:
    """A token server's answer."""
    return saying(200, json.dumps({"token": TOKEN, **more}).encode())


@asynccontextmanager
async def two(handler: Handler | None = None, bearer: Bearer | None = None) -> AsyncIterator[Two]:
    """``handler`` is the token server's."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(site(handler or granting()))
        made = bearer or Bearer()
        made.realm = made.realm or f"{server.url}/token"
        registry = await stack.enter_async_context(site(made.registry))
        yield Two(made, registry, server, await stack.enter_async_context(registries()))


def query(asked: Asked) -> dict[str, list[str]]:
    """What was asked for."""
    return parse_qs(asked.path.partition("?")[2])
