"""Stats of a real process in a real cgroup and network namespace. Needs root."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from metadata.endpoint import Endpoint
from metadata.source import CgroupFacts, ContainerFacts, InstanceFacts, Owner, TaskFacts
from metadata.stats.sampler import Sampler

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups: needs root")

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()
CONTROLLERS = ["."] if UNIFIED else ["cpu", "cpuacct", "memory", "pids", "blkio"]
SECOND = 1_000_000_000
OWNER = Owner("one")
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
class Contained:
    """A process in a cgroup of its own, and a clock that the test sets."""

    container: ContainerFacts
    process: subprocess.Popen[str]
    now: int = 1_900_000_000 * SECOND

    instance: InstanceFacts = field(default_factory=InstanceFacts)

    def tasks(self) -> list[TaskFacts]:
        return [self.task(OWNER, "id-burn")]

    def owned(self, owner: Owner) -> list[TaskFacts]:
        return self.tasks()

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts:
        return TaskFacts(
            owner=OWNER,
            arn="arn:one",
            cluster="lab",
            family="burn",
            revision="1",
            known_status="RUNNING",
            containers=(self.container,),
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)


@pytest.fixture
def contained() -> Iterator[Contained]:
    name = f"hostler-test-{uuid.uuid4().hex[:12]}"
    directories = [CGROUPS / controller / name for controller in CONTROLLERS]
    with ExitStack() as stack:
        for directory in directories:
            directory.mkdir()
            stack.callback(directory.rmdir)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        for directory in directories:
            (directory / "cgroup.procs").write_text(f"{process.pid}\n")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        container = ContainerFacts(
            name="burn",
            image="burn",
            desired_status="RUNNING",
            known_status="RUNNING",
            endpoint_id="id-burn",
            docker_id="b0",
            docker_name="ecs-burn",
            cgroup=CgroupFacts(f"/{name}", process.pid),
        )
        yield Contained(container, process)


@pytest.fixture
async def session(contained: Contained) -> AsyncIterator[ClientSession]:
    sampler = Sampler(clock_ns=lambda: contained.now)
    listeners = Endpoint(contained, sampler)
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
    session: ClientSession, contained: Contained
) -> None:
    _, first = await get(session, "/v3/id-burn/stats")
    contained.now += SECOND
    _, second = await get(session, "/v3/id-burn/stats")
    assert second["precpu_stats"] == first["cpu_stats"]
    assert second["preread"] == first["read"]
    usage = [each["cpu_stats"]["cpu_usage"]["total_usage"] for each in (first, second)]
    assert usage == sorted(usage)


async def test_a_namespace_with_a_loopback_only_has_no_networks(session: ClientSession) -> None:
    _, stats = await get(session, "/v4/id-burn/stats")
    assert "networks" not in stats


async def test_interfaces_of_the_containers_namespace_are_counted(
    session: ClientSession, contained: Contained
) -> None:
    pid = str(contained.process.pid)
    link = ["ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8"]
    subprocess.run(["nsenter", "--net", "--target", pid, *link], check=True, timeout=10)
    _, stats = await get(session, "/v4/id-burn/stats")
    assert set(stats["networks"]) == {"eth7", "eth8"}
    assert stats["networks"]["eth7"]["tx_bytes"] == 0
    contained.now += SECOND
    _, stats = await get(session, "/v4/id-burn/stats")
    assert stats["network_rate_stats"] == {"rx_bytes_per_sec": 0.0, "tx_bytes_per_sec": 0.0}


async def test_a_container_on_the_hosts_network_has_no_networks(
    session: ClientSession, contained: Contained
) -> None:
    path = contained.container.cgroup.path if contained.container.cgroup else ""
    contained.container = replace(contained.container, cgroup=CgroupFacts(path))
    status, stats = await get(session, "/v4/id-burn/stats")
    assert status == 200
    assert "networks" not in stats


async def test_a_process_that_ended_has_no_stats(
    session: ClientSession, contained: Contained
) -> None:
    assert (await get(session, "/v4/id-burn/stats"))[0] == 200
    contained.end()
    contained.now += SECOND
    assert (await get(session, "/v4/id-burn/stats"))[0] == 500
    assert await get(session, "/v4/id-burn/task/stats") == (200, {"b0": {}})
    assert await get(session, "/v3/id-burn/task/stats") == (200, {"b0": None})
