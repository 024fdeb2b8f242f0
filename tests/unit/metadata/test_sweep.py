"""Tests of sampling over a host made of files: what is read, kept, forgotten and closed."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from metadata.source import CgroupFacts, TaskFacts
from metadata.stats import reader
from metadata.stats.proc import InterfaceCounters
from metadata.stats.sweep import Sweeper, Target, targets
from tests.unit.metadata.facts import FULL, FULL_TASK, MOMENT, PAUSE, SECOND
from tests.unit.metadata.kernel import FileHost

WEB = Target("web", "/web", 4242, "web")
OTHER = Target("other", "/other", None, "other")
ETH0 = InterfaceCounters(1, 2, 3, 4, 5, 6, 7, 8)


@pytest.fixture(params=[True, False], ids=["v2", "v1"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FileHost:
    host = FileHost(tmp_path, unified=request.param)
    host.boot()
    host.run("web", pid=4242)
    return host


@pytest.fixture
def sweeper(host: FileHost) -> Iterator[Sweeper]:
    sweeper = Sweeper(host.cgroups, host.proc, lambda: host.now)
    yield sweeper
    sweeper.close()


def total_ns(sweeper: Sweeper, docker_id: str) -> int:
    return sweeper.kept[docker_id].latest.sample.usage.cpu.total_ns


def test_a_first_sample_has_all_there_is_and_no_past(sweeper: Sweeper) -> None:
    sweeper.sweep([WEB])
    samples = sweeper.kept["web"].samples
    assert samples.previous is None
    assert samples.latest.at == MOMENT
    assert samples.latest.usage.cpu.total_ns == 1000
    assert samples.latest.host_cpu.online == 2
    assert samples.latest.host_memory == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert samples.latest.networks is not None
    assert samples.latest.networks["eth0"] == ETH0
    assert set(samples.latest.networks) == {"eth0", "eth0.7"}


def test_a_second_sample_has_the_first_as_its_past(host: FileHost, sweeper: Sweeper) -> None:
    sweeper.sweep([WEB])
    first = sweeper.kept["web"].latest
    host.run("web", usage_us=50)
    host.now += SECOND
    sweeper.sweep([WEB])
    assert total_ns(sweeper, "web") == 50_000
    assert sweeper.kept["web"].previous is first


def test_two_samples_are_never_just_moments_apart(host: FileHost, sweeper: Sweeper) -> None:
    sweeper.sweep([WEB])
    first = sweeper.kept["web"]
    host.now += SECOND // 2 - 1
    sweeper.sweep([WEB])
    assert sweeper.kept["web"] is first
    host.now += 1
    sweeper.sweep([WEB])
    assert sweeper.kept["web"] is not first


def test_a_clock_set_back_does_not_stop_sampling(host: FileHost, sweeper: Sweeper) -> None:
    sweeper.sweep([WEB])
    host.now -= 3600 * SECOND
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.moment.at == host.now


def test_the_host_is_read_once_in_a_sweep(
    host: FileHost, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run("other")
    monkeypatch.setattr("time.monotonic_ns", lambda: 0)
    sweeper.sweep([WEB, OTHER])
    assert sweeper.kept["web"].latest.moment is sweeper.kept["other"].latest.moment


def test_a_slow_sweep_reads_the_host_again(
    host: FileHost, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run("other")
    passing = iter(range(0, SECOND, 5_000_000))
    monkeypatch.setattr("time.monotonic_ns", lambda: next(passing))
    sweeper.sweep([WEB, OTHER])
    assert sweeper.kept["web"].latest.moment is not sweeper.kept["other"].latest.moment


def test_what_is_measured_alone_leaves_others_alone(host: FileHost, sweeper: Sweeper) -> None:
    host.run("other")
    sweeper.sweep([WEB])
    sweeper.measure([OTHER])
    assert set(sweeper.kept) == {"web", "other"}


def test_a_container_that_ended_has_no_samples_and_no_open_files(
    host: FileHost, sweeper: Sweeper
) -> None:
    sweeper.sweep([])
    before = host.open_files()
    sweeper.sweep([WEB])
    stat_file = 1
    host.end("web")
    host.now += SECOND
    sweeper.sweep([WEB])
    assert sweeper.kept == {}
    assert host.open_files() == before + stat_file
    host.run("web")
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].previous is None


def test_a_removed_cgroup_is_gone(
    host: FileHost, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper.sweep([WEB])
    host.now += SECOND
    with pread_fails(monkeypatch, errno.ENODEV):
        sweeper.sweep([WEB])
    assert sweeper.kept == {}


def test_a_cgroup_that_can_not_be_read_is_named_once(
    host: FileHost,
    sweeper: Sweeper,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sweeper.sweep([WEB])
    before = host.open_files()
    for _ in range(2):
        host.now += SECOND
        with pread_fails(monkeypatch, errno.EIO):
            sweeper.measure([WEB])
    assert sweeper.kept == {}
    assert host.open_files() < before
    assert [each.getMessage() for each in caplog.records] == [
        "can't read the cgroup /web, it has no statistics: [Errno 5] Input/output error"
    ]


@contextmanager
def pread_fails(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """Files of cgroups fail, while that of the host goes on."""
    real = os.pread

    def failing(file: int, size: int, offset: int) -> bytes:
        if size == reader._SIZE:
            raise OSError(number, os.strerror(number))
        return real(file, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", failing)
        yield


def test_what_is_no_longer_in_the_picture_is_closed(host: FileHost, sweeper: Sweeper) -> None:
    host.run("other")
    sweeper.sweep([OTHER])
    before = host.open_files()
    sweeper.sweep([OTHER, WEB])
    assert host.open_files() > before
    host.now += SECOND
    sweeper.sweep([OTHER])
    assert set(sweeper.kept) == {"other"}
    assert host.open_files() == before


def test_two_hundred_containers_stay_within_a_dozen_files_each(
    host: FileHost, sweeper: Sweeper
) -> None:
    every = [Target(f"c{each}", f"/c{each}", 4242, f"c{each}") for each in range(200)]
    for target in every:
        host.run(target.docker_id)
    before = host.open_files()
    sweeper.sweep(every)
    assert len(sweeper.kept) == 200
    assert host.open_files() - before <= 200 * 12 + 1
    sweeper.close()
    assert host.open_files() == before


def test_too_many_open_files_leave_a_container_without_samples(
    host: FileHost, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    sweeper.sweep([])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = host.open_files()
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 2, hard))  # that of the host, and one
    try:
        sweeper.sweep([WEB])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sweeper.kept == {}
    assert host.open_files() == before + 1
    assert "Too many open files" in caplog.text
    sweeper.sweep([WEB])
    assert set(sweeper.kept) == {"web"}


def test_a_host_that_can_not_be_read_is_an_error(host: FileHost, sweeper: Sweeper) -> None:
    (host.proc / "stat").unlink()
    with pytest.raises(FileNotFoundError):
        sweeper.sweep([WEB])


def test_limits_are_read_anew_every_minute(host: FileHost, sweeper: Sweeper) -> None:
    limit = host.cgroups / ("web" if host.unified else "pids/web") / "pids.max"
    limit.write_text("max\n")
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.limits.processes is None
    limit.write_text("7\n")
    host.now += 59 * SECOND
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.limits.processes is None
    host.now += SECOND
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.limits.processes == 7


def test_another_process_or_cgroup_is_opened_anew(host: FileHost, sweeper: Sweeper) -> None:
    sweeper.sweep([WEB])
    host.kill(4242)
    host.run("moved", usage_us=9, pid=77)
    host.now += SECOND
    sweeper.sweep([WEB._replace(path="/moved", pid=77)])
    assert total_ns(sweeper, "web") == 9000
    assert sweeper.kept["web"].latest.sample.networks is not None


@pytest.mark.parametrize("opened", [False, True])
def test_a_process_that_is_gone_leaves_no_network(
    opened: bool, host: FileHost, sweeper: Sweeper
) -> None:
    if opened:
        sweeper.sweep([WEB])
        host.now += SECOND
    host.kill(4242)
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.sample.networks is None


def test_a_process_that_ends_while_it_is_read_leaves_no_network(
    host: FileHost, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(file: int, most: int) -> bytes:
        raise ProcessLookupError(errno.ESRCH, "No such process")

    before = host.open_files()
    monkeypatch.setattr(reader, "_lines", ended)
    sweeper.sweep([WEB])
    assert sweeper.kept["web"].latest.sample.networks is None
    sweeper.close()
    assert host.open_files() == before


def test_thousands_of_interfaces_are_not_all_counted(host: FileHost, sweeper: Sweeper) -> None:
    """A container with NET_ADMIN makes them faster than they could be shown."""
    lines = "".join(f"  eth{number}: {'1 ' * 16}\n" for number in range(20_000))
    (host.proc / "4242" / "net" / "dev").write_text(f"head\nhead\n{lines}")
    sweeper.sweep([WEB])
    latest = sweeper.kept["web"].latest
    assert len(latest.net_dev or b"") <= 68 * 1024
    assert "eth500" in (latest.sample.networks or {})


def test_a_container_on_the_hosts_network_has_none_of_its_own(
    host: FileHost, sweeper: Sweeper
) -> None:
    host.run("other")
    sweeper.sweep([OTHER])
    assert sweeper.kept["other"].latest.sample.networks is None


def test_containers_of_one_namespace_share_its_counters(host: FileHost, sweeper: Sweeper) -> None:
    host.run("other")  # its own process has ended just now
    sweeper.sweep([Target("web", "/web", 4242, "task"), Target("other", "/other", 77, "task")])
    web, other = (sweeper.kept[each].latest.net_dev for each in ("web", "other"))
    assert web is other is not None


def test_counters_of_a_container_that_ended_are_not_shared(
    host: FileHost, sweeper: Sweeper
) -> None:
    host.run("other", pid=77)
    (host.proc / "77" / "net" / "dev").write_text("head\nhead\n  eth9: " + "1 " * 16 + "\n")
    host.end("web")  # and its process id has been used again
    sweeper.sweep([Target("web", "/web", 4242, "task"), Target("other", "/other", 77, "task")])
    networks = sweeper.kept["other"].latest.sample.networks
    assert networks is not None
    assert set(networks) == {"eth9"}


def test_a_container_that_runs_again_counts_on(host: FileHost, sweeper: Sweeper) -> None:
    host.run("web", usage_us=70)
    sweeper.sweep([WEB._replace(run=0)])
    host.end("web")
    host.now += SECOND
    sweeper.sweep([WEB._replace(path="", pid=None, run=1)])
    assert "web" not in sweeper.kept, "between two runs there is nothing to show"
    host.now += SECOND
    host.run("web", usage_us=5, pid=77)
    sweeper.sweep([WEB._replace(pid=77, run=1)])
    assert total_ns(sweeper, "web") == 75_000
    host.now += SECOND
    host.run("web", usage_us=6)
    sweeper.sweep([WEB._replace(pid=77, run=1)])
    samples = sweeper.kept["web"].samples
    assert samples.previous is not None
    assert [each.usage.cpu.total_ns for each in (samples.previous, samples.latest)] == [
        75_000,
        76_000,
    ]
    host.now += SECOND
    host.run("web", usage_us=1, pid=78)
    sweeper.sweep([WEB._replace(pid=78, run=3)])
    assert total_ns(sweeper, "web") == 77_000, "also if a run was over before it was measured"


def test_a_container_that_is_gone_leaves_no_count(host: FileHost, sweeper: Sweeper) -> None:
    sweeper.sweep([WEB._replace(run=0)])
    sweeper.sweep([])
    sweeper.sweep([])
    host.now += SECOND
    sweeper.sweep([WEB._replace(run=1)])
    assert total_ns(sweeper, "web") == 1000


def test_long_files_are_read_whole(host: FileHost, sweeper: Sweeper) -> None:
    lines = "".join(f"{minor}:0 rbytes=1 wbytes=2\n" for minor in range(2000))
    rows = "".join(f"{minor}:0 Read 1\n" for minor in range(2000))
    if host.unified:
        (host.cgroups / "web" / "io.stat").write_text(lines)
    else:
        blkio = host.cgroups / "blkio" / "web"
        blkio.mkdir(parents=True)
        (blkio / "blkio.throttle.io_service_bytes_recursive").write_text(rows)
    dev = host.proc / "4242" / "net" / "dev"
    dev.write_text("\n\n" + "".join(f"e{each}: {'1 ' * 16}\n" for each in range(500)))
    sweeper.sweep([WEB])
    sample = sweeper.kept["web"].latest.sample
    assert len({each.major for each in sample.usage.io_bytes}) == 2000
    assert sample.networks is not None
    assert len(sample.networks) == 500


def test_targets_are_the_containers_with_a_cgroup() -> None:
    side = replace(FULL, docker_id="51de", cgroup=CgroupFacts("/side", 4243))
    task = replace(FULL_TASK, containers=(FULL, PAUSE, side))
    assert targets([task]) == [
        Target("5b1e", "/hostler/one/web", 4242, "5b1e", 0),
        Target("51de", "/side", 4243, "51de", 0),
    ]
    awsvpc: TaskFacts = replace(task, network_mode="awsvpc")
    assert [each.network for each in targets([awsvpc])] == [task.arn, task.arn]


def test_a_container_between_two_runs_is_still_a_target() -> None:
    waiting = replace(FULL, cgroup=None, known_status="RUNNING", restart_count=1)
    ended = replace(waiting, docker_id="51de", known_status="STOPPED")
    task = replace(FULL_TASK, containers=(waiting, ended))
    assert targets([task]) == [Target("5b1e", "", None, "5b1e", 1)]
