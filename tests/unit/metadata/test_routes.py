"""Tests of every route as a client sees it: bodies, status codes, content types."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from metadata.source import CgroupFacts
from metadata.stats.sampler import Sampler
from metadata.task import render
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.facts import FULL, FULL_TASK, MOMENT, PAUSE, PULLED, SECOND, Picture
from tests.unit.metadata.kernel import FileHost

MEASURED = replace(FULL, cgroup=CgroupFacts("/web", 4242))
TASK = replace(FULL_TASK, containers=(MEASURED, PAUSE, PULLED))


async def get(session: ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        assert response.content_type == "application/json"
        return response.status, json.loads(await response.read())


def sent(value: object) -> Any:
    return json.loads(json.dumps(value))


@pytest.fixture
async def session(host: FileHost, serve: Serve) -> AsyncIterator[ClientSession]:
    sampler = Sampler(host.cgroups, host.proc, lambda: host.now)
    yield await serve(Picture([TASK]), sampler)
    sampler.close()


async def test_metadata_routes_show_container_and_task(session: ClientSession) -> None:
    assert await get(session, "/v3/id-web") == (200, sent(render.container_v3(MEASURED)))
    assert await get(session, "/v4/id-web") == (200, sent(render.container_v4(MEASURED)))
    assert await get(session, "/v3/id-web/task") == (200, sent(render.task_v3(TASK)))
    status, shown = await get(session, "/v4/id-web/task")
    assert "ClockErrorBound" in shown.pop("ClockDrift")
    assert (status, shown) == (200, sent(render.task_v4(TASK)))


async def test_stats_routes_show_one_container(session: ClientSession, host: FileHost) -> None:
    assert host.now == MOMENT
    for version in ("v3", "v4"):
        status, body = await get(session, f"/{version}/id-web/stats")
        assert (status, body["id"], body["read"]) == (200, "5b1e", "2031-02-03T04:05:06Z")
        assert "network_rate_stats" not in body


async def test_only_version_4_shows_rates(session: ClientSession, host: FileHost) -> None:
    await get(session, "/v4/id-web/stats")
    host.now += 2 * SECOND
    _, v3 = await get(session, "/v3/id-web/stats")
    _, v4 = await get(session, "/v4/id-web/stats")
    rates = v4.pop("network_rate_stats")
    assert rates == {"rx_bytes_per_sec": 0.0, "tx_bytes_per_sec": 0.0}
    assert v3 == v4


@pytest.mark.parametrize(("version", "absent"), [("v3", None), ("v4", {})])
async def test_task_stats_have_a_key_for_each_existing_container(
    version: str, absent: object, session: ClientSession
) -> None:
    _, one = await get(session, f"/{version}/id-web/stats")
    assert await get(session, f"/{version}/id-web/task/stats") == (
        200,
        {"5b1e": one, "9a05e": absent},
    )


@pytest.mark.parametrize(
    ("path", "status", "subject"),
    [
        ("/v3/{}", 500, "V3 container metadata handler: "),
        ("/v3/{}/task", 500, "V3 task metadata handler: "),
        ("/v3/{}/stats", 400, "V3 container stats handler: "),
        ("/v3/{}/task/stats", 400, "V3 task stats handler: "),
        ("/v4/{}", 404, "V4 container metadata handler: "),
        ("/v4/{}/task", 404, "V4 task metadata handler: "),
        ("/v4/{}/stats", 404, "V4 container stats handler: "),
        ("/v4/{}/task/stats", 404, "V4 task stats handler: "),
    ],
)
async def test_an_unknown_id_has_the_code_of_its_route(
    path: str, status: int, subject: str, session: ClientSession
) -> None:
    found, reason = await get(session, path.format("n%C3%B6"))
    assert found == status
    assert reason.startswith(subject)
    assert "nö" in reason
    assert (await get(session, path.format("id-side")))[0] == status  # pulled, not created


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v3/id-web", 500), ("/v3/id-web/task", 500), ("/v4/id-web", 500), ("/v4/id-web/task", 200)],
)
async def test_an_unknown_network_has_the_code_of_its_route(
    path: str, status: int, serve: Serve
) -> None:
    task = replace(TASK, containers=(replace(FULL, networks=None),))
    found, body = await get(await serve(Picture([task])), path)
    assert found == status
    assert status == 200 or "web" in body


@pytest.mark.parametrize(("version", "status"), [("v3", 400), ("v4", 500)])
async def test_a_container_that_is_not_running_has_no_stats(
    version: str, status: int, serve: Serve
) -> None:
    stopped = replace(FULL, cgroup=None)
    session = await serve(Picture([replace(TASK, containers=(stopped,))]))
    found, reason = await get(session, f"/{version}/id-web/stats")
    assert (found, reason) == (status, "there are no statistics of container web")


async def test_a_cgroup_that_is_gone_has_no_stats(session: ClientSession, host: FileHost) -> None:
    Path(host.cgroups / "web" / "cpu.stat").unlink()
    assert (await get(session, "/v4/id-web/stats"))[0] == 500
    assert await get(session, "/v4/id-web/task/stats") == (200, {"5b1e": {}, "9a05e": {}})
