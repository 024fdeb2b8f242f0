"""Paths and methods of the agent API, and its room behind a door."""

import asyncio

import pytest
from aiohttp import ClientSession

from metadata.endpoint import Endpoint
from metadata.front.limits import Rate
from metadata.stats.sampler import Sampler
from tests.unit.metadata.agentapi.asking import Api
from tests.unit.metadata.conftest import listening
from tests.unit.metadata.facts import OWNER, Picture

STATE = "/api/id-web/task-protection/v1/state"
BLACKHOLE = "/api/id-web/fault/v1/network-blackhole-port"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/id-web",
        "/api/id-web/task-protection/v1",
        f"{STATE}/",
        f"{STATE}/more",
        f"{STATE}\n",
        "/api/id-web/task-protection/v2/state",
        "/api/id-web/fault/v1/network-blackhole-port",
        f"{BLACKHOLE}/start/",
        f"{BLACKHOLE}/pause",
        "/api/id-web/fault/v1/network-weather/start",
        "/api/id/web/fault/v1/network-latency/start",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_an_unknown_path_is_a_plain_404_whatever_the_method(method: str, path: str) -> None:
    answer = await Api().ask(method, path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "PATCH"])
async def test_protection_takes_get_and_put(method: str) -> None:
    api = Api()
    answer = await api.ask(method, STATE, {"ProtectionEnabled": True})
    assert (answer.status, answer.body, answer.headers) == (405, b"", {"Allow": "GET, PUT"})
    assert api.agent.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize("operation", ["start", "stop", "status"])
async def test_faults_take_post(method: str, operation: str) -> None:
    api = Api()
    answer = await api.ask(method, f"{BLACKHOLE}/{operation}")
    assert (answer.status, answer.body, answer.headers) == (405, b"", {"Allow": "POST"})
    assert api.agent.asked == []


async def test_a_room_that_opens_late_answers_through_doors_that_are_open_already() -> None:
    api, sampler = Api(), Sampler()
    endpoint = Endpoint(Picture([]), sampler, Rate(1e6, 1_000_000))
    sock = listening()
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        await endpoint.serve(sock, OWNER, "one")
        async with asyncio.timeout(10), ClientSession(base) as session:
            endpoint.open_agent_api(api.room)
            async with session.put(STATE, json={"ProtectionEnabled": True}) as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                assert (await answer.json())["protection"]["ProtectionEnabled"] is False
            async with session.delete(STATE) as answer:
                assert (answer.status, await answer.read()) == (405, b"")
            async with session.post(f"{BLACKHOLE}/start", data=b"{") as answer:
                assert answer.status == 400
    finally:
        await endpoint.close_all()
        sampler.close()
    assert api.agent.asked[0][:1] == ("protect",)
