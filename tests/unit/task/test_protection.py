"""For how long a task is protected, and which can be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.task import protection
from agent.task.model import Intent, Protection, Stop, StopCode, StopRequest, first_progress
from tests.worlds import container, running, task

WEB = task(container("web"))
NOW = 1000.25


@pytest.mark.parametrize(
    ("minutes", "expires_at"),
    [(None, 1001 + 7200), (1, 1001 + 60), (2880, 1001 + 172_800)],
)
def test_it_lasts_for_whole_seconds_and_never_less_than_asked(
    minutes: int | None, expires_at: float
) -> None:
    assert protection.lasting(minutes, NOW) == Protection(expires_at)


@pytest.mark.parametrize("minutes", [0, -1, 2881, 10**30])
def test_it_lasts_for_a_minute_to_two_days(minutes: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to 2880, not {minutes}"):
        protection.lasting(minutes, NOW)


def test_it_ends_by_the_clock() -> None:
    kept = Intent(WEB, protection=Protection(500.0))
    assert protection.until(kept, 499.9) == 500.0
    assert protection.until(kept, 500.0) is None
    assert protection.until(Intent(WEB), 1.0) is None


def test_a_task_can_be_protected_until_it_is_to_stop() -> None:
    wanted, up = Intent(WEB), running(Intent(WEB))
    stop = Stop(StopCode.ESSENTIAL_EXITED, "exited", 3.0)
    assert protection.possible(wanted, first_progress(WEB))
    assert protection.possible(wanted, up)
    assert not protection.possible(replace(wanted, stop=StopRequest(1.0, "asked")), up)
    assert not protection.possible(wanted, replace(up, stop=stop))
