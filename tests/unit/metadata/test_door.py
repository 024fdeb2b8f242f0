"""Tests of what holds for all routes: isolation, odd paths and methods, kept answers."""

import json
from dataclasses import replace

import pytest
from yarl import URL

from metadata.front.asking import Asking
from metadata.source import Owner, TaskFacts
from metadata.versions import ById, Reception
from tests.unit.metadata import variety
from tests.unit.metadata.conftest import Serve, untidied
from tests.unit.metadata.facts import FULL, FULL_TASK, OWNER, Picture

STRANGER = Owner("task-two")
PATHS = [f"/{version}/{{}}{what}" for version in ("v3", "v4") for what in ("", "/task", "/stats")]


@pytest.mark.parametrize("path", [*PATHS, "/v3/{}/task/stats", "/v4/{}/task/stats"])
async def test_an_id_of_another_owner_is_an_unknown_id(path: str, serve: Serve) -> None:
    """Even when the source would give it away."""
    stranger = await serve(Picture([FULL_TASK]), owner=STRANGER)
    known, unknown = path.format("id-web"), path.format("id-XXX")
    async with stranger.get(known) as first, stranger.get(unknown) as second:
        assert first.status == second.status
        assert (await first.text()).replace("id-web", "id-XXX") == await second.text()


@pytest.mark.parametrize("prefix", ["/v4/x/../", "/v4//", "/v4/%2e%2e/v4/", "//v4/"])
async def test_isolation_holds_on_the_way_through_redirects(prefix: str, serve: Serve) -> None:
    stranger = await serve(Picture([FULL_TASK]), owner=STRANGER)
    url = untidied(stranger, f"{prefix}id-web")
    async with stranger.get(url) as response:
        assert response.status == 404


async def test_an_owner_of_several_tasks_is_shown_each(serve: Serve) -> None:
    other = replace(FULL, endpoint_id="id-other", docker_id="0ther")
    tasks = [FULL_TASK, replace(FULL_TASK, arn="arn:two", containers=(other,))]
    session = await serve(Picture(tasks))
    for path, arn in (("/v4/id-web/task", FULL_TASK.arn), ("/v4/id-other/task", "arn:two")):
        async with session.get(path) as response:
            assert json.loads(await response.read())["TaskARN"] == arn


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v4",
        "/v3",
        "/v5/id-web",
        "/v4/id-web/",
        "/v3/id-web/",
        "/v4/id-web/task/",
        "/v4/id-web/stats/",
        "/v4/id-web/task/stats/",
        "/v4/id-web/tasks",
        "/v4/id-web/stats/task",
        "/V4/id-web",
        "/v4/id-web/task%0A",
        "/latest/meta-data/",
    ],
)
async def test_an_unknown_path_is_a_plain_404(path: str, serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    async with session.get(URL(path, encoded=True)) as response:
        assert (response.status, response.content_type) == (404, "text/plain")
        assert await response.text() == "404 page not found\n"


@pytest.mark.parametrize(("path", "status"), [("/v4/", 404), ("/v3/", 500)])
async def test_an_empty_id_is_an_unknown_id(path: str, status: int, serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    async with session.get(path) as response:
        assert response.status == status
        assert "''" in await response.json()


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//v4/id-web/task?a=b%26c", "/v4/id-web/task?a=b%26c"),
        ("/v4//id-web", "/v4/id-web"),
        ("/v4/id-web//", "/v4/id-web/"),
        ("/v4/./id-web", "/v4/id-web"),
        ("/v4/x/../id-web", "/v4/id-web"),
        ("/../..", "/"),
        ("//", "/"),
        ("//%0d%0aX-Odd:%20y", "/%0D%0AX-Odd%3A%20y"),
    ],
)
async def test_an_untidy_path_is_redirected(path: str, location: str, serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    url = untidied(session, path)
    async with session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, location)
        assert "X-Odd" not in response.headers


@pytest.mark.parametrize("path", ["/v4/.hidden", "/v4/a..b"])
async def test_dots_inside_a_segment_are_left_alone(path: str, serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    async with session.get(path, allow_redirects=False) as response:
        assert response.status == 404
        assert path.removeprefix("/v4/") in await response.json()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_any_method_is_answered_like_get(method: str, serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    async with session.request(method, "/v4/id-web/task", data=b"ignored" * 1000) as response:
        assert response.status == 200
        assert (await response.json())["TaskARN"] == FULL_TASK.arn


async def test_head_has_the_headers_of_get_and_no_body(serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    async with session.get("/v4/id-web") as got, session.head("/v4/id-web") as headed:
        assert headed.status == 200
        assert headed.headers["Content-Length"] == got.headers["Content-Length"]
        assert await headed.read() == b""


async def test_answers_do_not_name_software_versions(serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]))
    for path in ("/v4/id-web", "/v4/unknown", "/nothing", "/v4//x"):
        async with session.get(path, allow_redirects=False) as response:
            assert response.headers["Server"] == "hostler"


async def test_a_change_of_facts_is_shown_at_once(serve: Serve) -> None:
    picture = Picture([FULL_TASK])
    session = await serve(picture)
    for known in ("RUNNING", "RUNNING", "STOPPED", "DEPROVISIONING"):
        picture.every = [replace(FULL_TASK, known_status=known)]
        async with session.get("/v4/id-web/task") as response:
            assert (await response.json())["KnownStatus"] == known
    picture.every = []
    async with session.get("/v4/id-web/task") as response:
        assert response.status == 404


async def test_an_answer_is_encoded_once_while_the_facts_are_the_same(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Picture([FULL_TASK])
    session = await serve(picture)
    bodies = []
    for _ in range(2):
        async with session.get("/v4/id-web/task") as response:
            bodies.append(await response.read())
        monkeypatch.setattr(json, "dumps", None)  # a second encoding would fail
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("what", ["stats", "task/stats"])
async def test_statistics_are_one_answer_until_there_are_others(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = variety.KnownSamples()
    room = ById(Reception(variety.picture("full"), sampler))
    asking = Asking(OWNER, "GET", f"/v4/full/{what}")
    first, again = await room.answer(asking), await room.answer(asking)
    assert again is first
    monkeypatch.setitem(variety.SAMPLES, "full", variety.SAMPLES["own"])
    later = await room.answer(asking)
    assert later.body != first.body
    sampler.close()


async def test_kept_answers_are_bounded() -> None:
    count = 5000
    many = [
        replace(FULL_TASK, containers=(replace(FULL, endpoint_id=f"id-{number}", docker_id="d"),))
        for number in range(count)
    ]
    reception = Reception(ByNumber(many), sampler=None)  # type: ignore[arg-type]
    room = ById(reception)
    for number in range(count):
        assert (await room.answer(Asking(OWNER, "GET", f"/v4/id-{number}"))).status == 200
    assert 0 < len(reception._kept) <= 4096


class ByNumber(Picture):
    """Finds the tasks of this test at once."""

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        return self.every[int(endpoint_id.removeprefix("id-"))]
