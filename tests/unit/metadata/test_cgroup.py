"""Tests of reading cgroups, over directories that look like those of the kernel."""

from pathlib import Path

import pytest

from metadata.stats import cgroup
from metadata.stats.cgroup import CpuUsage, Gone, Transfers

MEMORY_STAT_V2 = """\
anon 1000
file 2000
shmem 30
file_mapped 40
anon_thp 0
inactive_file 500
active_file 600
pgfault 7
slab 11
"""
COUNTERS_V1 = {
    "cache": 2000,
    "rss": 1000,
    "rss_huge": 0,
    "shmem": 30,
    "mapped_file": 40,
    "inactive_file": 500,
    "active_file": 600,
    "pgfault": 7,
    "swap": 9,
}


def write(directory: Path, **files: str) -> None:
    """Files by name, `__` for the dot of the kernel's names."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    write(tmp_path, cgroup__controllers="cpu io memory pids\n")
    write(tmp_path / "hostler" / "one", memory__max="4096\n")
    write(
        tmp_path / "hostler" / "one" / "web",
        cpu__stat="usage_usec 30\nuser_usec 20\nsystem_usec 10\n"
        "nr_periods 5\nnr_throttled 2\nthrottled_usec 3\n",
        memory__current="3000\n",
        memory__peak="3500\n",
        memory__max="max\n",
        memory__stat=MEMORY_STAT_V2,
        memory__swap__current="9\n",
        memory__events="low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n",
        pids__current="3\n",
        pids__max="max\n",
        io__stat="8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=3 dios=1\n7:0 \n259:1\n",
    )
    return tmp_path


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    path = Path("hostler") / "one" / "web"
    write(
        tmp_path / "cpuacct" / path,
        cpuacct__usage="30000\n",
        cpuacct__usage_user="20000\n",
        cpuacct__usage_sys="10000\n",
        cpuacct__usage_percpu="12000 18000 \n",
    )
    write(tmp_path / "cpu" / path, cpu__stat="nr_periods 5\nnr_throttled 2\nthrottled_time 3000\n")
    write(
        tmp_path / "memory" / path,
        memory__usage_in_bytes="3000\n",
        memory__max_usage_in_bytes="3500\n",
        memory__failcnt="4\n",
        memory__stat="cache 2000\ntotal_rss 1000\nhierarchical_memory_limit 4096\n",
    )
    write(tmp_path / "pids" / path, pids__current="3\n", pids__max="100\n")
    write(
        tmp_path / "blkio" / path,
        blkio__throttle__io_service_bytes_recursive="8:0 Read 10\n8:0 Write 20\nTotal 30\n",
        blkio__throttle__io_serviced_recursive="8:0 Read 1\n8:0 Write 2\nTotal 3\n",
    )
    return tmp_path


def test_v2_gives_version_1_names_beside_its_own(unified: Path) -> None:
    memory = cgroup.usage(unified, "/hostler/one/web").memory
    counters = memory.counters
    assert counters["anon"] == 1000
    assert counters["slab"] == 11
    assert {name: counters[name] for name in COUNTERS_V1} == COUNTERS_V1
    totals = {name: counters[f"total_{name}"] for name in COUNTERS_V1}
    assert totals == COUNTERS_V1
    assert counters["hierarchical_memory_limit"] == 4096


def test_v2_usage_is_read_in_nanoseconds_and_bytes(unified: Path) -> None:
    usage = cgroup.usage(unified, "/hostler/one/web")
    assert usage.cpu == CpuUsage(30_000, 20_000, 10_000, (), 5, 2, 3000)
    assert (usage.memory.usage, usage.memory.max_usage, usage.memory.failures) == (3000, 3500, 4)
    assert (usage.processes, usage.process_limit) == (3, None)


def test_v2_memory_limit_is_the_lowest_on_the_way_up(unified: Path) -> None:
    web = unified / "hostler" / "one" / "web"
    assert cgroup.usage(unified, "/hostler/one/web").memory.limit == 4096
    (web / "memory.max").write_text("1024\n")
    assert cgroup.usage(unified, "/hostler/one/web").memory.limit == 1024
    (web / "memory.max").write_text("max\n")
    (web.parent / "memory.max").write_text("max\n")
    usage = cgroup.usage(unified, "/hostler/one/web")
    assert usage.memory.limit is None
    assert "hierarchical_memory_limit" not in usage.memory.counters


def test_v2_transfers_have_the_operations_of_version_1(unified: Path) -> None:
    usage = cgroup.usage(unified, "/hostler/one/web")
    assert usage.io_bytes == (
        Transfers(8, 0, "Read", 10),
        Transfers(8, 0, "Write", 20),
        Transfers(8, 0, "Discard", 3),
        Transfers(8, 0, "Total", 33),
    )
    assert [each.value for each in usage.io_operations] == [1, 2, 1, 4]


def test_v1_usage_comes_from_one_directory_per_controller(divided: Path) -> None:
    usage = cgroup.usage(divided, "/hostler/one/web")
    assert usage.cpu == CpuUsage(30_000, 20_000, 10_000, (12_000, 18_000), 5, 2, 3000)
    memory = usage.memory
    assert (memory.usage, memory.max_usage, memory.failures, memory.limit) == (3000, 3500, 4, 4096)
    assert memory.counters["total_rss"] == 1000
    assert (usage.processes, usage.process_limit) == (3, 100)
    assert usage.io_bytes == (Transfers(8, 0, "Read", 10), Transfers(8, 0, "Write", 20))
    assert [each.value for each in usage.io_operations] == [1, 2]


def test_controllers_that_a_host_lacks_count_as_empty(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct" / "web", cpuacct__usage="5\n")
    usage = cgroup.usage(tmp_path, "web")
    assert usage.cpu == CpuUsage(5, 0, 0, (), 0, 0, 0)
    assert (usage.processes, usage.memory.limit, usage.io_bytes) == (None, None, ())


@pytest.mark.parametrize("path", ["/hostler/one/other", "hostler/one"])
def test_a_cgroup_that_is_not_there_is_gone(path: str, unified: Path) -> None:
    with pytest.raises(Gone):
        cgroup.usage(unified, path)


def test_a_cgroup_without_processes_is_gone(unified: Path) -> None:
    (unified / "hostler" / "one" / "web" / "pids.current").write_text("0\n")
    with pytest.raises(Gone):
        cgroup.usage(unified, "/hostler/one/web")


def test_a_divided_cgroup_that_is_not_there_is_gone(divided: Path) -> None:
    with pytest.raises(Gone):
        cgroup.usage(divided, "/hostler/one/other")
