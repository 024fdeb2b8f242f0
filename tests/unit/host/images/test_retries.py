"""How often and how long a registry is asked."""

from __future__ import annotations

import pytest

from agent.host.images.retries import JITTER, PULLING, RESOLVING, Backoff, Patience
from agent.registry.errors import RegistryError, RegistryUnavailable
from tests.unit.host.images.simulated import at_once

RESOLVING_S = [0.01, 0.03, 0.09, 0.27, 0.81, 2.43, 5.0, 5.0]
PULLING_S = [1.1, 2.2, 4.4, 5.0]


@pytest.mark.parametrize(("backoff", "least"), [(RESOLVING, RESOLVING_S), (PULLING, PULLING_S)])
def test_delays_are_those_of_the_ecs_agent(backoff: Backoff, least: list[float]) -> None:
    delays = list(backoff.delays())
    assert len(delays) == len(least)
    for delay, lowest in zip(delays, least, strict=True):
        assert lowest <= delay * 1.000001
        assert delay <= lowest * (1 + JITTER) * 1.000001


class Failing:
    """Fails so many times, in this way."""

    def __init__(self, times: int, error: RegistryError) -> None:
        self.left, self.tried, self.error = times, 0, error

    async def __call__(self) -> str:
        self.tried += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "here"


def test_the_first_success_is_the_outcome() -> None:
    work = Failing(3, RegistryUnavailable("away"))
    found, took_s = at_once(Patience("web:1", RESOLVING, lambda: True).outcome(work))
    assert (found, work.tried) == ("here", 4)
    assert sum(RESOLVING_S[:3]) <= took_s <= sum(RESOLVING_S[:3]) * (1 + JITTER)


def test_after_the_last_try_its_failure_is_the_outcome() -> None:
    work = Failing(100, RegistryUnavailable("away"))
    with pytest.raises(RegistryUnavailable, match="away"):
        at_once(Patience("web:1", PULLING, lambda: True).outcome(work))
    assert work.tried == 5


def test_what_no_time_mends_is_not_tried_again() -> None:
    work = Failing(100, RegistryError("no such image"))
    with pytest.raises(RegistryError, match="no such image"):
        at_once(Patience("web:1", PULLING, lambda: True).outcome(work))
    assert work.tried == 1


def test_the_asker_may_find_another_try_worthless() -> None:
    work = Failing(100, RegistryUnavailable("away"))
    with pytest.raises(RegistryUnavailable, match="away"):
        at_once(Patience("web:1", PULLING, lambda: False).outcome(work))
    assert work.tried == 1


@pytest.mark.parametrize(
    ("told_s", "waited_s"), [(None, 1.1), (0.5, 1.1), (30.0, 30.0), (1e9, 60.0)]
)
def test_a_registry_may_say_how_long_to_wait(told_s: float | None, waited_s: float) -> None:
    work = Failing(1, RegistryUnavailable("busy", told_s))
    _, took_s = at_once(Patience("web:1", PULLING, lambda: True).outcome(work))
    assert waited_s <= took_s * 1.000001
    assert took_s <= waited_s * (1 + JITTER) * 1.000001


def test_the_last_failure_is_remembered() -> None:
    patience = Patience("web:1", PULLING, lambda: True)
    at_once(patience.outcome(Failing(1, RegistryUnavailable("busy"))))
    assert str(patience.last) == "busy"
