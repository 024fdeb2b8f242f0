"""Stats of a real process in a real cgroup and network namespace. Needs root."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bench.metadata.sweep import cgroups
from metadata.endpoint import Endpoint
from metadata.source import CgroupFacts
from metadata.stats.sampler import Sampler
from metadata.stats.sweep import Sweeper, targets
from tests.system.cgrouplab import OWNER, OneTask, contained, own_cgroup

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups: needs root")

SECOND = 1_000_000_000
# Waits for its cgroup, enters a network namespace, burns 0.2 s of processor time, holds 32 MiB.
PROGRAM = """
import ctypes, resource, sys
sys.stdin.readline()
if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
    raise OSError(ctypes.get_errno(), "unshare")
held = bytearray(32 << 20)
start = resource.getrusage(resource.RUSAGE_SELF)
while True:
    now = resource.getrusage(resource.RUSAGE_SELF)
    if now.ru_utime + now.ru_stime - start.ru_utime - start.ru_stime > 0.2:
        break
print("ready", flush=True)
sys.stdin.readline()
"""


@dataclass
class Contained(OneTask):
    """A process in a cgroup of its own, and a clock that the test sets."""

    process: "subprocess.Popen[str] | None" = None
    now: int = 1_900_000_000 * SECOND

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(timeout=10)


@pytest.fixture
def burning() -> Iterator[Contained]:
    with ExitStack() as stack:
        cgroup = stack.enter_context(own_cgroup())
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        cgroup.enter(process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        yield Contained(contained(f"/{cgroup.name}", process.pid), process=process)


@pytest.fixture
async def session(burning: Contained) -> AsyncIterator[ClientSession]:
    sampler = Sampler(clock_ns=lambda: burning.now)
    listeners = Endpoint(burning, sampler)
    sock = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{sock.getsockname()[1]}"
    await listeners.serve(sock, OWNER, "one")
    async with ClientSession(base) as session:
        yield session
    await listeners.close_all()
    sampler.close()


async def get(session: ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as response:
        return response.status, json.loads(await response.read())


async def test_a_burning_process_is_measured(session: ClientSession) -> None:
    status, stats = await get(session, "/v4/id-burn/stats")
    assert status == 200
    cpu = stats["cpu_stats"]
    assert 0.2 * SECOND <= cpu["cpu_usage"]["total_usage"] < 5 * SECOND
    modes = cpu["cpu_usage"]["usage_in_usermode"] + cpu["cpu_usage"]["usage_in_kernelmode"]
    assert modes == pytest.approx(cpu["cpu_usage"]["total_usage"], rel=0.2)
    assert cpu["online_cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert cpu["system_cpu_usage"] > cpu["cpu_usage"]["total_usage"]

    memory = stats["memory_stats"]
    assert 32 << 20 <= memory["usage"] < 256 << 20
    assert memory["stats"]["total_rss"] >= 32 << 20
    assert {"cache", "rss", "total_cache", "total_inactive_file"} <= memory["stats"].keys()
    assert memory["limit"] <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert stats["pids_stats"]["current"] == 1
    assert isinstance(stats["blkio_stats"]["io_service_bytes_recursive"], list)


async def test_later_samples_show_what_happened_in_between(
    session: ClientSession, burning: Contained
) -> None:
    _, first = await get(session, "/v3/id-burn/stats")
    burning.now += 2 * SECOND
    _, second = await get(session, "/v3/id-burn/stats")
    assert second["precpu_stats"] == first["cpu_stats"]
    assert second["preread"] == first["read"]
    usage = [each["cpu_stats"]["cpu_usage"]["total_usage"] for each in (first, second)]
    assert usage == sorted(usage)


async def test_a_namespace_with_a_loopback_only_has_no_networks(session: ClientSession) -> None:
    _, stats = await get(session, "/v4/id-burn/stats")
    assert "networks" not in stats


async def test_interfaces_of_the_containers_namespace_are_counted(
    session: ClientSession, burning: Contained
) -> None:
    pid = str(burning.pid)
    link = ["ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8"]
    subprocess.run(["nsenter", "--net", "--target", pid, *link], check=True, timeout=30)
    _, stats = await get(session, "/v4/id-burn/stats")
    assert set(stats["networks"]) == {"eth7", "eth8"}
    assert stats["networks"]["eth7"]["tx_bytes"] == 0
    burning.now += 2 * SECOND
    _, stats = await get(session, "/v4/id-burn/stats")
    assert stats["network_rate_stats"] == {"rx_bytes_per_sec": 0.0, "tx_bytes_per_sec": 0.0}


async def test_a_container_on_the_hosts_network_has_no_networks(
    session: ClientSession, burning: Contained
) -> None:
    path = burning.container.cgroup.path if burning.container.cgroup else ""
    burning.container = replace(burning.container, cgroup=CgroupFacts(path))
    status, stats = await get(session, "/v4/id-burn/stats")
    assert status == 200
    assert "networks" not in stats


async def test_a_process_that_ended_has_no_stats(
    session: ClientSession, burning: Contained
) -> None:
    assert (await get(session, "/v4/id-burn/stats"))[0] == 200
    burning.end()
    burning.now += 2 * SECOND
    assert (await get(session, "/v4/id-burn/stats"))[0] == 500
    assert await get(session, "/v4/id-burn/task/stats") == (200, {"b0": {}})
    assert await get(session, "/v3/id-burn/task/stats") == (200, {"b0": None})


def test_a_removed_cgroup_is_gone_though_its_files_are_open() -> None:
    seconds = iter(range(0, 10 * SECOND, SECOND))
    sweeper = Sweeper(clock_ns=lambda: next(seconds))
    try:
        with cgroups(2) as targets:
            sweeper.sweep(targets)
            assert set(sweeper.kept) == {"c0", "c1"}
        sweeper.sweep(targets)
        assert sweeper.kept == {}
        assert open_files("/sys/fs/cgroup") == []
    finally:
        sweeper.close()


def test_no_file_that_would_hold_a_network_namespace_stays_open(burning: Contained) -> None:
    sweeper = Sweeper()
    try:
        sweeper.sweep(targets(burning.tasks()))
        assert sweeper.kept["b0"].latest.net_dev is not None
        assert open_files(f"/proc/{burning.pid}") == [f"/proc/{burning.pid}/net"]
    finally:
        sweeper.close()


def open_files(below: str) -> list[str]:
    """The paths of this process's open files there."""
    links = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            links.append(str(each.readlink()))
    return [each for each in links if each.startswith(f"{below}/")]
