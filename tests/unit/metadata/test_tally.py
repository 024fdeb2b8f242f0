"""Tests of the counts of requests: every route has a name, and no request makes one."""

import pytest
from aiohttp import ClientSession

from metadata.endpoint import Endpoint
from metadata.front.limits import Rate
from metadata.front.tally import route_of
from metadata.routes import ROUTES, V2_CONTAINERS, V2_TASKS
from metadata.stats.sampler import Sampler
from tests.unit.metadata.conftest import listening
from tests.unit.metadata.facts import FULL_TASK, OWNER, Picture


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/credentials", "/v1/credentials"),
        ("/v2/credentials/c0ffee", "/v2/credentials"),
        ("/v2/metadata", "/v2/metadata"),
        ("/v2/metadata/0a1b", "/v2/metadata"),
        ("/v2/metadataWithTags", "/v2/metadataWithTags"),
        ("/v2/stats/0a1b", "/v2/stats"),
        ("/v3/some-id", "/v3/<id>"),
        ("/v3/some-id/task", "/v3/<id>/task"),
        ("/v4/some-id/stats", "/v4/<id>/stats"),
        ("/v4/some-id/task/stats", "/v4/<id>/task/stats"),
        ("/v4/some-id/taskWithTags", "/v4/<id>/taskWithTags"),
        ("/v4/some-id/associations/kind/a/b", "/v4/<id>/associations"),
        ("/api/some-id/task-protection/v1/state", "/api/<id>/task-protection"),
        ("/api/some-id/fault/v1/network-latency/start", "/api/<id>/fault"),
        ("/v4/", "/v4"),
        ("/v4/some-id/", "/v4/<id>"),
        ("/v4/some-id/anything", "other"),
        ("/v4/some-id/task/anything", "other"),
        ("/v2/metadatax", "other"),
        ("/v5/some-id", "other"),
        ("/", "other"),
        ("", "other"),
        ("//v4/some-id", "other"),
    ],
)
def test_a_route_has_no_id_in_it(path: str, route: str) -> None:
    assert route_of(path) == route


def test_requests_make_no_more_names_than_there_are_routes() -> None:
    words = ["", "v1", "v3", "v4", "api", "x", "task", "stats", "associations", "credentials", "é"]
    paths = [f"/{one}/{two}/{three}" for one in words for two in words for three in words]
    assert len({route_of(each) for each in paths}) < 25


async def test_the_answers_of_all_sockets_are_counted_by_route_and_code() -> None:
    sampler = Sampler()
    endpoint = Endpoint(Picture([FULL_TASK]), sampler, Rate(0.001, 2))
    try:
        for key in ("one", "two"):
            sock = listening()
            base = f"http://127.0.0.1:{sock.getsockname()[1]}"
            await endpoint.serve(sock, OWNER, key)
            async with ClientSession(base) as session:
                for path in ("/v4/id-web/task", "/v4/unknown/task", "/v4/id-web/task", "/x"):
                    async with session.get(path):
                        pass
                async with session.get("/v4/id-web/task") as response:
                    assert response.status == 429
    finally:
        await endpoint.close_all()
        sampler.close()
    assert endpoint.tally.counted == {
        ("/v4/<id>/task", 200): 4,
        ("/v4/<id>/task", 404): 2,
        ("/v4/<id>/task", 429): 2,
        ("other", 404): 2,
    }


def test_every_route_of_the_versions_is_counted_under_its_name() -> None:
    for version, rest in ROUTES:
        assert route_of(f"/{version}/id-web{rest}") == f"/{version}/<id>{rest}"
    for kind in V2_TASKS:
        assert route_of(f"/v2/{kind}") == f"/v2/{kind}"
    for kind in V2_CONTAINERS:
        assert route_of(f"/v2/{kind}/5b1e") == f"/v2/{kind}"
