"""The clock: kept or not, absurd or not, apart from the hardware's or not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.host.checkup import clock
from agent.host.checkup.outcomes import Outcome
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings

NOW = Path(clock.__file__).stat().st_mtime + 1000.0
RTC = "/sys/class/rtc/rtc0/since_epoch"

Look = Callable[..., list[Outcome]]


@pytest.fixture
def look(host: Host) -> Look:
    def looked(*, at: float = NOW, kept: bool = True) -> list[Outcome]:
        return list(clock.check(host.subject, lambda: at, lambda: kept))

    return looked


def test_a_clock_that_is_kept(look: Look) -> None:
    assert findings(look()) == []
    assert "it is synchronised" in facts(look())


def test_a_clock_that_nobody_keeps(host: Host, look: Look) -> None:
    assert len(warnings(look(kept=False))) == 1
    assert "chrony" in cure(look(kept=False))
    host.write("/run/systemd/timesync/synchronized")  # the kernel was not told
    assert findings(look(kept=False)) == []


@pytest.mark.parametrize("mark", ["/run/systemd/container", "/run/.containerenv"])
def test_a_clock_that_is_another_hosts(host: Host, look: Look, mark: str) -> None:
    host.write(mark)
    assert findings(look(kept=False)) == []


def test_a_clock_that_was_never_set(look: Look) -> None:
    outcomes = look(at=86400.0)
    (what,) = errors(outcomes)
    assert what.startswith("the clock says 1970-01-02 00:00:00 UTC, but ")
    assert "set the clock" in cure(outcomes)


def test_a_clock_that_stood_further_when_the_state_was_written(host: Host, look: Look) -> None:
    host.write("/var/lib/hostler/state.db")
    state = host.root / "var/lib/hostler/state.db"
    os.utime(state, (NOW + 200, NOW + 200))
    assert findings(look()) == []
    os.utime(state, (NOW + 4000, NOW + 4000))
    (what,) = errors(look())
    assert str(state) in what


@pytest.mark.parametrize("apart", [0, 200, -299, 7200, -3600 * 5.5, 3600 * 14])
def test_a_hardware_clock_that_is_right_in_some_zone(host: Host, look: Look, apart: float) -> None:
    host.write(RTC, f"{NOW + apart:.0f}\n")
    assert findings(look()) == []


@pytest.mark.parametrize("apart", [400, -1300, 3600 * 40])
def test_a_hardware_clock_that_is_wrong(host: Host, look: Look, apart: float) -> None:
    host.write(RTC, f"{NOW + apart:.0f}\n")
    assert len(warnings(look())) == 1
    assert "hwclock --systohc" in cure(look())


def test_the_kernel_is_really_asked() -> None:
    assert clock.synchronised() in (True, False)
