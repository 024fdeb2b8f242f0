"""Tests of the rate limit: its numbers, whom it counts together, its headers, its memory."""

from unittest.mock import Mock

from aiohttp import ClientSession, TCPConnector
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from metadata.front.door import Door
from metadata.front.limits import ECS_RATE, Buckets, Rate
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.facts import FULL_TASK, OWNER, Picture


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_second=40, burst=60), clock)
    assert [buckets.admit("a", "/") for _ in range(61)] == [True] * 60 + [False]
    clock.now += 0.5
    assert [buckets.admit("a", "/") for _ in range(21)] == [True] * 20 + [False]
    clock.now += 3600
    assert [buckets.admit("a", "/") for _ in range(61)] == [True] * 60 + [False]


def test_each_client_and_each_path_has_a_bucket_of_its_own() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), Clock())
    asked = [("a", "/v4/x"), ("b", "/v4/x"), ("a", "/v4/x/task")]
    assert all(buckets.admit(*each) for each in asked)
    assert not any(buckets.admit(*each) for each in asked)


@given(st.lists(st.floats(0, 2), max_size=200), st.integers(1, 50), st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(waits: list[float], rate: int, burst: int) -> None:
    clock, admitted = Clock(), 0
    buckets = Buckets(Rate(rate, burst), clock)
    for wait in waits:
        clock.now += wait
        admitted += buckets.admit("a", "/")
    assert admitted <= burst + rate * clock.now + 1e-6


def test_memory_is_bounded_and_those_in_use_keep_their_count() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_second=1, burst=2), clock)
    assert all(buckets.admit("busy", "/") for _ in range(2))
    for number in range(1023):
        buckets.admit("x", f"/{number}")
    clock.now += 1.5
    buckets.admit("busy", "/")
    clock.now += 1.0
    buckets.admit("new", "/")
    assert len(buckets._kept) <= 2  # the others are full again
    assert buckets.admit("busy", "/")
    assert not buckets.admit("busy", "/")
    for number in range(5000):
        buckets.admit("x", f"/{number}")
    assert len(buckets._kept) <= 1024


async def test_above_the_limit_is_a_429_and_told(serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]), rate=Rate(per_second=0.01, burst=2))
    answers = []
    for _ in range(3):
        async with session.get("/v4/id-web") as response:
            answers.append((response.status, response.content_type))
    assert answers == [(200, "application/json")] * 2 + [(429, "text/plain")]
    async with session.get("/v4/id-web/task") as response:
        assert response.status == 200


async def test_every_answer_tells_of_the_limit(serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]), rate=ECS_RATE)
    for path in ("/v4/id-web", "/v4/none", "/nothing"):
        async with session.get(path, headers={"X-Forwarded-For": "10.0.0.9"}) as response:
            told = {name: response.headers[f"X-Rate-Limit-{name}"] for name in TOLD}
            remote = told.pop("Request-Remote-Addr")
            assert told == {"Limit": "40.00", "Duration": "1", "Request-Forwarded-For": "10.0.0.9"}
            assert remote.startswith("127.0.0.1:")


TOLD = ("Limit", "Duration", "Request-Forwarded-For", "Request-Remote-Addr")


async def test_other_addresses_of_the_loopback_get_nobody_past_the_limit(serve: Serve) -> None:
    session = await serve(Picture([FULL_TASK]), rate=Rate(per_second=0.01, burst=1))
    codes = []
    for address in ("127.0.0.1", "127.0.0.2"):
        async with (
            ClientSession(
                session._base_url, connector=TCPConnector(local_addr=(address, 0))
            ) as own,
            own.get("/v4/id-web") as response,
        ):
            codes.append(response.status)
    assert codes == [200, 429]


async def test_who_is_turned_away_is_told_of_by_a_tidy_path() -> None:
    """No id must get into the log, and a `//` would make another word of it."""
    told: list[str] = []
    turned_away = Mock(side_effect=lambda asking: told.append(asking.path))
    door = Door(OWNER, {}, Rate(per_second=0.01, burst=0), turned_away)
    for path in ("/v2//credentials/secret", "/v3/../v4/secret/task", "/v4/secret"):
        await door.answer(make_mocked_request("GET", path))
    assert told == ["/v2/credentials/secret", "/v4/secret/task", "/v4/secret"]
