"""Tests of what differs between versions in how a subject is found, of tags and of associations."""

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession

from metadata.source import ContainerFacts, Owner
from metadata.task import render
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.facts import AWSVPC, FULL, FULL_TASK, INSTANCE, Picture

APP = replace(
    FULL, networks=(AWSVPC,), ports=(), associations={"cred": {"a/b": '{"x":1}', "c": ""}}
)
SIDE = replace(APP, name="side", endpoint_id="id-two", docker_id="51de", associations={})
PULLED = ContainerFacts("late", "late:1", "RUNNING", "PULLED", endpoint_id="id-late")
TASK = replace(FULL_TASK, network_mode="awsvpc", containers=(APP, SIDE, PULLED))
TAGGED = replace(TASK, tags={"team": "shop"})


def sent(value: object) -> Any:
    return json.loads(json.dumps(value))


async def get(session: ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        assert response.content_type == "application/json"
        return response.status, json.loads(await response.read())


@pytest.mark.parametrize("path", ["/v2/metadata", "/v2/metadata/"])
async def test_version_2_finds_the_task_by_who_asks(path: str, serve: Serve) -> None:
    session = await serve(Picture([TASK]))
    assert await get(session, path) == (200, sent(render.task_v3(TASK)))


async def test_version_2_shows_the_tasks_containers_by_runtime_id(serve: Serve) -> None:
    session = await serve(Picture([TASK]))
    assert await get(session, "/v2/metadata/51de") == (200, sent(render.container_v3(SIDE)))


@pytest.mark.parametrize(
    "path",
    [
        "/v2/metadata/51d",
        "/v2/metadata/id-two",
        "/v2/stats/none",
        "/v2/stats/5b1e",  # not running: no data
    ],
)
async def test_what_version_2_does_not_find_is_a_400(path: str, serve: Serve) -> None:
    session = await serve(Picture([TASK]))
    status, reason = await get(session, path)
    assert (status, type(reason)) == (400, str)


async def test_version_2_task_stats_have_a_key_for_each_existing_container(serve: Serve) -> None:
    stopped = replace(TASK, containers=(replace(APP, cgroup=None), replace(SIDE, cgroup=None)))
    session = await serve(Picture([stopped]))
    for path in ("/v2/stats", "/v2/stats/"):
        assert await get(session, path) == (200, {"5b1e": None, "51de": None})


@pytest.mark.parametrize("what", ["metadata", "metadataWithTags", "stats", "metadata/5b1e"])
@pytest.mark.parametrize("mode", ["bridge", "none", "host"])
async def test_version_2_is_for_tasks_in_awsvpc_mode(what: str, mode: str, serve: Serve) -> None:
    session = await serve(Picture([replace(TASK, network_mode=mode)]))
    status, reason = await get(session, f"/v2/{what}")
    assert status == 400
    assert "awsvpc" in reason


@pytest.mark.parametrize("what", ["metadata", "stats", "metadata/5b1e"])
async def test_version_2_shows_no_other_owners_task(what: str, serve: Serve) -> None:
    """Even when the source would give it away."""
    stranger = await serve(Picture([TASK]), owner=Owner("task-two"))
    assert (await get(stranger, f"/v2/{what}"))[0] == 400


async def test_version_2_has_nobody_to_show_before_the_task_is_known(serve: Serve) -> None:
    assert (await get(await serve(Picture([])), "/v2/metadata"))[0] == 400
    bare = await serve(Picture([replace(TASK, containers=(PULLED,))]))
    assert (await get(bare, "/v2/metadata"))[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/",
        "/v2/task",
        "/v2/metadata/5b1e/",
        "/v2/metadata/5b1e/task",
        "/v2/metadataWithTags/5b1e",
    ],
)
async def test_other_paths_of_version_2_are_plain_404s(path: str, serve: Serve) -> None:
    session = await serve(Picture([TASK]))
    async with session.get(path) as response:
        assert (response.status, response.content_type) == (404, "text/plain")


TAGS = ["/v2/metadataWithTags", "/v3/id-web/taskWithTags", "/v4/id-web/taskWithTags"]


@pytest.mark.parametrize("path", TAGS)
async def test_tags_are_shown_where_asked_for(path: str, serve: Serve) -> None:
    tagged = Picture([TAGGED], replace(INSTANCE, tags={"rack": "7"}))
    _, shown = await get(await serve(tagged), path)
    assert shown.pop("TaskTags") == {"team": "shop"}
    assert shown.pop("ContainerInstanceTags") == {"rack": "7"}
    assert ("ClockDrift" in shown) == ("v4" in path)
    shown.pop("ClockDrift", None)
    assert shown == sent((render.task_v4 if "v4" in path else render.task_v3)(TAGGED))


@pytest.mark.parametrize("path", TAGS)
async def test_without_tags_the_keys_are_left_out(path: str, serve: Serve) -> None:
    status, shown = await get(await serve(Picture([TASK])), path)
    assert status == 200
    assert not {"TaskTags", "ContainerInstanceTags"} & shown.keys()


@pytest.mark.parametrize(
    ("path", "status"), [("/v3/no/taskWithTags", 500), ("/v4/no/taskWithTags", 404)]
)
async def test_an_unknown_id_has_no_tags(path: str, status: int, serve: Serve) -> None:
    assert (await get(await serve(Picture([TAGGED])), path))[0] == status


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize(
    ("rest", "status", "body"),
    [
        ("cred", 200, {"Associations": ["a/b", "c"]}),
        ("other", 200, {"Associations": None}),
        ("", 200, {"Associations": None}),
        ("cred/a/b", 200, {"x": 1}),
    ],
)
async def test_associations_by_type_and_name(
    version: str, rest: str, status: int, body: object, serve: Serve
) -> None:
    session = await serve(Picture([TASK]))
    assert await get(session, f"/{version}/id-web/associations/{rest}") == (status, body)


@pytest.mark.parametrize("version", ["v3", "v4"])
@pytest.mark.parametrize(
    "rest",
    [
        "id-web/associations/cred/",
        "id-web/associations/cred/a",
        "id-web/associations/x/c",
        "no/associations/cred",
    ],
)
async def test_an_unknown_association_is_a_400(version: str, rest: str, serve: Serve) -> None:
    status, reason = await get(await serve(Picture([TASK])), f"/{version}/{rest}")
    assert (status, type(reason)) == (400, str)


async def test_associations_of_another_owner_are_unknown(serve: Serve) -> None:
    stranger = await serve(Picture([TASK]), owner=Owner("task-two"))
    assert (await get(stranger, "/v4/id-web/associations/cred"))[0] == 400
    async with stranger.get("/v4/id-web/associations") as response:
        assert response.status == 404
