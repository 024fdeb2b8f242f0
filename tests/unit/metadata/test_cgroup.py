"""Tests of reading cgroups, over directories that look like those of the kernel."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.stats import cgroup, reader
from metadata.stats.cgroup import CpuUsage, Transfers, Usage
from metadata.stats.reader import Reader

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


def usage_of(root: Path, path: str) -> Usage:
    found = reader.layout(root)
    opened = Reader(root, found, path, None)
    try:
        return found.usage(opened.read(), opened.limits)
    finally:
        opened.close()


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
        cpuacct__usage_percpu="12000000 18000000 \n",
        cpuacct__stat="user 2\nsystem 1\n",
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
    memory = usage_of(unified, "/hostler/one/web").memory
    counters = memory.counters
    assert counters["anon"] == 1000
    assert counters["slab"] == 11
    assert {name: counters[name] for name in COUNTERS_V1} == COUNTERS_V1
    totals = {name: counters[f"total_{name}"] for name in COUNTERS_V1}
    assert totals == COUNTERS_V1
    assert counters["hierarchical_memory_limit"] == 4096


def test_v2_usage_is_read_in_nanoseconds_and_bytes(unified: Path) -> None:
    usage = usage_of(unified, "/hostler/one/web")
    assert usage.cpu == CpuUsage(30_000, 20_000, 10_000, (), 5, 2, 3000)
    assert (usage.memory.usage, usage.memory.max_usage, usage.memory.failures) == (3000, 3500, 4)
    assert (usage.processes, usage.process_limit) == (3, None)


def test_v2_memory_limit_is_the_lowest_on_the_way_up(unified: Path) -> None:
    web = unified / "hostler" / "one" / "web"
    assert usage_of(unified, "/hostler/one/web").memory.limit == 4096
    (web / "memory.max").write_text("1024\n")
    assert usage_of(unified, "/hostler/one/web").memory.limit == 1024
    (web / "memory.max").write_text("max\n")
    (web.parent / "memory.max").write_text("max\n")
    usage = usage_of(unified, "/hostler/one/web")
    assert usage.memory.limit is None
    assert "hierarchical_memory_limit" not in usage.memory.counters


def test_v2_transfers_have_the_operations_of_version_1(unified: Path) -> None:
    usage = usage_of(unified, "/hostler/one/web")
    assert usage.io_bytes == (
        Transfers(8, 0, "Read", 10),
        Transfers(8, 0, "Write", 20),
        Transfers(8, 0, "Discard", 3),
        Transfers(8, 0, "Total", 33),
    )
    assert [each.value for each in usage.io_operations] == [1, 2, 1, 4]


def test_v1_usage_comes_from_one_directory_per_controller(divided: Path) -> None:
    usage = usage_of(divided, "/hostler/one/web")
    assert usage.cpu == CpuUsage(
        30_000_000, 20_000_000, 10_000_000, (12_000_000, 18_000_000), 5, 2, 3000
    )
    memory = usage.memory
    assert (memory.usage, memory.max_usage, memory.failures, memory.limit) == (3000, 3500, 4, 4096)
    assert memory.counters["total_rss"] == 1000
    assert (usage.processes, usage.process_limit) == (3, 100)
    assert usage.io_bytes == (Transfers(8, 0, "Read", 10), Transfers(8, 0, "Write", 20))
    assert [each.value for each in usage.io_operations] == [1, 2]


def test_controllers_that_a_host_lacks_count_as_empty(tmp_path: Path) -> None:
    write(tmp_path / "cpuacct" / "web", cpuacct__usage_percpu="2 3\n")
    usage = usage_of(tmp_path, "web")
    assert usage.cpu == CpuUsage(5, 0, 0, (2, 3), 0, 0, 0)
    assert (usage.processes, usage.memory.limit, usage.io_bytes) == (None, None, ())


def test_a_unified_host_without_swap_or_peak_counts_none_of_them(tmp_path: Path) -> None:
    write(tmp_path, cgroup__controllers="cpu\n")
    write(tmp_path / "web", cpu__stat="usage_usec 5\n", memory__current="7\n")
    memory = usage_of(tmp_path, "web").memory
    assert (memory.usage, memory.max_usage, memory.failures, memory.limit) == (7, None, None, None)
    assert memory.counters == {"swap": 0, "total_swap": 0}


NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
COUNTS = st.integers(0, 2**64 - 1)
DEVICES = st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1))


@given(st.dictionaries(NAMES, COUNTS))
def test_any_flat_keyed_file_is_read_as_it_was_written(counters: dict[str, int]) -> None:
    text = "".join(f"{name} {count}\n" for name, count in counters.items())
    assert cgroup.keyed(text) == counters


@given(st.none() | COUNTS)
def test_any_number_is_read_as_it_was_written(count: int | None) -> None:
    assert cgroup.number("max\n" if count is None else f"{count}\n") == count


@given(st.dictionaries(DEVICES, st.tuples(COUNTS, COUNTS)))
def test_both_versions_show_the_same_transfers(
    devices: dict[tuple[int, int], tuple[int, int]],
) -> None:
    old, new, expected = "", "", []
    for (major, minor), counts in devices.items():
        read, write = counts
        every = {"Read": read, "Write": write, "Total": read + write}
        old += "".join(f"{major}:{minor} {op} {count}\n" for op, count in every.items())
        new += f"{major}:{minor} rbytes={read} wbytes={write} rios=1 wios=2\n"
        expected += [Transfers(major, minor, op, count) for op, count in every.items()]
    assert list(cgroup.transfers_v1(f"{old}Total 9\n")) == expected
    columns = {"Read": "rbytes", "Write": "wbytes", "Discard": "dbytes"}
    assert list(cgroup.transfers_v2(new, columns)) == expected


@given(st.dictionaries(NAMES, COUNTS), COUNTS)
def test_version_1_names_have_the_values_of_version_2(stat: dict[str, int], swap: int) -> None:
    counters = cgroup.v1_counters({"anon": 1, "file": 2} | stat, swap)
    assert counters["total_rss"] == stat.get("anon", 1)
    assert counters["total_cache"] == stat.get("file", 2)
    assert counters["swap"] == swap
    plain = {name for name in counters if not name.startswith("total_")}
    assert counters.keys() - plain == {f"total_{name}" for name in plain}
