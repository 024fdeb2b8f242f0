"""Settings of runtimes, cgroups and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import ConfigError, load, read
from agent.settings import RUNTIMES_FILE, Settings


def set_to(**values: str) -> Settings:
    return load(values, {}, ())


def test_without_being_told_limits_are_tried_and_shown() -> None:
    plain = Settings()
    assert (plain.task_limits, plain.limits_shown, plain.pids_limit) == (None, True, None)
    assert (plain.cgroup_driver, plain.cgroup_parent, plain.cpu_period_s) == ("auto", "", 0.1)
    assert plain.runtimes == RUNTIMES_FILE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8ms", 0.008), ("50ms", 0.05), ("100ms", 0.1), ("7ms", 0.1), ("1s", 0.1), ("0", 0.1)],
)
def test_the_period_has_the_bounds_of_the_ecs_agent(text: str, seconds: float) -> None:
    assert set_to(ECS_CGROUP_CPU_PERIOD=text).cpu_period_s == seconds


@pytest.mark.parametrize(
    ("text", "limit"),
    [("1", 1), ("4194304", 4194304), ("0", None), ("-3", None), ("4194305", None)],
)
def test_a_number_of_processes_beyond_the_kernels_is_ignored(text: str, limit: int | None) -> None:
    assert set_to(ECS_TASK_PIDS_LIMIT=text).pids_limit == limit


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ECS_CGROUP_CPU_PERIOD", "1s", "is not between 8ms and 100ms: it is 100ms"),
        ("ECS_TASK_PIDS_LIMIT", "0", "is not between 1 and 4194304: it is as if not set"),
    ],
)
def test_what_is_put_within_bounds_is_told(name: str, text: str, said: str) -> None:
    assert read({name: text}, {}, ()).warnings == (f"{name}={text} (the command line) {said}",)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_limits_are_demanded_or_switched_off(text: str, value: bool) -> None:
    assert set_to(ECS_ENABLE_TASK_CPU_MEM_LIMIT=text).task_limits is value
    assert set_to(ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2=text).limits_shown is value


@pytest.mark.parametrize("parent", ["/hostler", "/a/b.c", "hostler.slice", "system-hostler.slice"])
def test_a_parent_is_a_path_or_a_slice(parent: str) -> None:
    found = set_to(HOSTLER_CGROUP_PARENT=parent)
    assert found.cgroup_parent == parent
    assert found.names.cgroup_parent == (parent if parent.startswith("/") else "/hostler")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("HOSTLER_CGROUP_PARENT", "hostler", "must be a path below the cgroup mount"),
        ("HOSTLER_CGROUP_PARENT", "-.slice", "or a slice such as hostler.slice"),
        ("HOSTLER_CGROUP_PARENT", "a--b.slice", "or a slice such as hostler.slice"),
        ("HOSTLER_CGROUP_DRIVER", "cgroupfsv2", "must be auto, cgroupfs or systemd"),
        ("HOSTLER_RUNTIMES", "runtimes.json", "must be an absolute path"),
        ("ECS_TASK_PIDS_LIMIT", "many", "must be a whole number"),
        ("ECS_CGROUP_CPU_PERIOD", "50", "must be a duration"),
        ("ECS_ENABLE_TASK_CPU_MEM_LIMIT", "on", "must be true or false"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_its_file_and_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    file = tmp_path / "hostler.config"
    file.write_text(f"\n{name}={text}\n")
    with pytest.raises(ConfigError) as raised:
        load({}, {}, (file,))
    assert str(raised.value).startswith(f"{name}={text} ({file} line 2): ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("driver", "parent", "said"),
    [
        ("systemd", "/hostler", "must be a slice such as hostler.slice"),
        ("cgroupfs", "hostler.slice", "must be a path such as /hostler"),
    ],
)
def test_a_parent_of_the_other_driver_is_refused(driver: str, parent: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"HOSTLER_CGROUP_PARENT={parent} {said}"):
        set_to(HOSTLER_CGROUP_DRIVER=driver, HOSTLER_CGROUP_PARENT=parent)
