"""What systemd is asked for a slice, and what comes of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.host.cgroups import slices
from agent.host.cgroups.kernel import CgroupError, weight
from agent.host.cgroups.slices import Slices
from agent.task.limits import TaskLimits
from tests.fakes.systemdbus import SystemdBus

NAME = "hostler-one.slice"
LIMITS = TaskLimits(period_us=50_000, quota_us=25_000, memory=2**26, pids=99)
EXISTS = ("org.freedesktop.systemd1.UnitExists", "Unit was already loaded.")
UNKNOWN = ("org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.")
DENIED = ("org.freedesktop.DBus.Error.AccessDenied", "Permission denied")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private"


def of(properties: Any) -> dict[str, Any]:
    return {name: value for name, (_, value) in properties}


def test_a_slice_is_made_with_its_limits(path: Path) -> None:
    bus = SystemdBus()
    with bus.serving(path):
        Slices(path).ensure(NAME, LIMITS)
    ((method, (name, mode, properties, others)),) = bus.calls
    assert (method, name, mode, others) == ("StartTransientUnit", NAME, "fail", [])
    found = of(properties)
    assert (found["CPUQuotaPerSecUSec"], found["CPUQuotaPeriodUSec"]) == (500_000, 50_000)
    assert (found["MemoryMax"], found["TasksMax"]) == (2**26, 99)
    assert found["DefaultDependencies"] is False
    assert "CPUWeight" not in found


def test_a_slice_without_limits_has_none_but_its_weight(path: Path) -> None:
    bus = SystemdBus()
    with bus.serving(path):
        Slices(path).ensure(NAME, TaskLimits(shares=512))
    found = of(bus.calls[0][1][2])
    assert found["CPUWeight"] == weight(512)
    assert not {"CPUQuotaPerSecUSec", "MemoryMax", "TasksMax"} & set(found)


def test_a_slice_that_is_there_gets_its_limits_again(path: Path) -> None:
    bus = SystemdBus({"StartTransientUnit": EXISTS})
    with bus.serving(path):
        Slices(path).ensure(NAME, LIMITS)
    method, (name, runtime, properties) = bus.calls[1]
    assert (method, name, runtime) == ("SetUnitProperties", NAME, True)
    assert of(properties)["MemoryMax"] == 2**26
    assert "DefaultDependencies" not in of(properties)  # can't be set later


def test_a_slice_is_stopped_if_it_is_there(path: Path) -> None:
    bus = SystemdBus()
    with bus.serving(path):
        Slices(path).stop(NAME)
        assert bus.calls == [("StopUnit", (NAME, "replace"))]
        bus.refusals = {"StopUnit": UNKNOWN}
        Slices(path).stop(NAME)


def test_a_call_that_systemd_has_not_read_is_brought_to_its_notice(path: Path) -> None:
    bus = SystemdBus(deaf=True)
    with bus.serving(path):
        Slices(path).stop(NAME)
    assert bus.calls == [("StopUnit", (NAME, "replace"))]
    assert bus.knocks


def test_what_systemd_refuses_is_told_in_its_words(path: Path) -> None:
    refusals = dict.fromkeys(("StartTransientUnit", "StopUnit", "ListJobs"), DENIED)
    with SystemdBus(refusals).serving(path):
        with pytest.raises(CgroupError, match=f"can't make {NAME}: Permission denied"):
            Slices(path).ensure(NAME, LIMITS)
        with pytest.raises(CgroupError, match=f"can't stop {NAME}: Permission denied"):
            Slices(path).stop(NAME)
        with pytest.raises(CgroupError, match="can't reach it: Permission denied"):
            Slices(path).check()


def test_without_systemd_the_socket_is_named(path: Path) -> None:
    with pytest.raises(CgroupError, match=f"can't ask systemd at {path} to reach it: "):
        Slices(path).check()


def test_a_systemd_that_goes_away_is_an_error(path: Path) -> None:
    with (
        SystemdBus(hangs_up=True).serving(path),
        pytest.raises(CgroupError, match=f"can't ask systemd at {path} to stop {NAME}: "),
    ):
        Slices(path).stop(NAME)


def test_a_systemd_that_says_nothing_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "DEADLINE_S", 0.05)
    silent = SystemdBus(silent=True)
    with silent.serving(path), pytest.raises(CgroupError, match=r"no answer in"):
        Slices(path).check()
