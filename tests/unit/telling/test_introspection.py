"""The introspection port: off, taken, or served."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from agent.config import ConfigError
from agent.settings import Settings
from agent.telling import introspection

HERE = replace(Settings(), introspection_listen=("127.0.0.1", 0))


async def answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="here")


async def test_it_is_served_until_the_end() -> None:
    port = introspection.open_port(HERE)
    assert port is not None
    url = f"http://127.0.0.1:{port.getsockname()[1]}/"
    async with ClientSession() as session:
        async with introspection.serving(port, answer), session.get(url) as response:
            assert await response.text() == "here"
        with pytest.raises(ClientConnectionError):
            await session.get(url)


async def test_it_can_be_off() -> None:
    assert introspection.open_port(replace(HERE, introspection_listen=None)) is None
    async with introspection.serving(None, answer):
        pass


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    first = introspection.open_port(HERE)
    assert first is not None
    with first:
        address = first.getsockname()
        with pytest.raises(ConfigError) as caught:
            introspection.open_port(replace(HERE, introspection_listen=address))
    assert str(caught.value) == (
        f"HOSTLER_INTROSPECTION_LISTEN: can't listen on 127.0.0.1 port {address[1]}:"
        " Address already in use; set another ADDRESS:PORT, or off"
    )
