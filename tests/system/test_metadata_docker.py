"""Our statistics beside those of a real dockerd, of the same container. Needs root and Docker."""

import asyncio
import io
import json
import os
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector

from agent.registry.hello import HelloError, find_busybox
from bench.programs import Missing, daemon, installed, run
from metadata.stats import answers
from metadata.stats.sampler import Sampler
from tests.system.cgrouplab import CGROUPS, UNIFIED, OneTask, OwnCgroup, contained
from tests.system.test_metadata_cpu import docker_percentage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts a dockerd: needs root")

DEADLINE_S = 90.0
SECONDS = 12  # Docker takes a sample each second
BURN = "while :; do :; done"


@dataclass(frozen=True, slots=True)
class Docker:
    """A dockerd of the test's own, and the cgroup that its containers are below."""

    socket: Path
    parent: str

    async def __call__(self, *arguments: str) -> str:
        return await run("docker", "--host", f"unix://{self.socket}", *arguments)


@asynccontextmanager
async def dockerd() -> AsyncIterator[Docker]:
    """Without networks. Raises Missing."""
    installed("dockerd", "docker", "containerd")
    parent = f"hostler-test-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(prefix="hostler-d-") as root, cleaned(Path(root), parent):
        socket = Path(root) / "docker.sock"
        command = (
            *("dockerd", "--host", f"unix://{socket}", "--data-root", f"{root}/data"),
            *("--exec-root", f"{root}/exec", "--pidfile", f"{root}/dockerd.pid"),
            *("--bridge=none", "--iptables=false", "--ip-forward=false"),
            *("--storage-driver=vfs", "--cgroup-parent", f"/{parent}"),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),
        )
        env = {"PATH": os.environ.get("PATH", os.defpath)}
        async with daemon(*command, env=env, scratch=Path(root) / "log", ready=socket):
            yield Docker(socket, parent)


@contextmanager
def cleaned(root: Path, parent: str) -> Iterator[None]:
    """What dockerd leaves behind when it ends is gone: mounts and cgroups."""
    try:
        yield
    finally:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for each in reversed([each for each in mounts if each.startswith(f"{root}/")]):
            subprocess.run(["umount", each], check=True, timeout=10)
        for cgroup in [CGROUPS / parent] if UNIFIED else CGROUPS.glob(f"*/{parent}"):
            cgroup.rmdir()


def image() -> bytes:
    """A tar file of a root file system that has a shell."""
    built = io.BytesIO()
    with tarfile.open(fileobj=built, mode="w") as tar:
        tar.add(find_busybox(), "bin/sh")
    return built.getvalue()


@asynccontextmanager
async def burning(docker: Docker) -> AsyncIterator[str]:
    """The id of a container that gets 0.3 of a processor and would take it all."""
    packed = docker.socket.with_name("image.tar")
    packed.write_bytes(image())
    await docker("import", str(packed), "burn")
    limits = ("--network=none", "--cpus=0.3", "--memory=64m", "--pids-limit=50")
    container = (await docker("run", "--detach", *limits, "burn", "/bin/sh", "-c", BURN)).strip()
    OwnCgroup(docker.parent).prefer()
    try:
        yield container
    finally:
        await docker("rm", "--force", container)


async def both(docker: Docker, container: str) -> AsyncIterator[tuple[dict[str, Any], ...]]:
    """Docker's statistics and ours, each second."""
    source = OneTask(contained(f"/{docker.parent}/{container}"))
    sampler = Sampler()
    connector = UnixConnector(str(docker.socket))
    try:
        async with (
            ClientSession("http://docker", connector=connector) as session,
            session.get(f"/containers/{container}/stats") as stream,
            asyncio.TaskGroup() as group,
        ):
            running = group.create_task(sampler.run(source))
            for _ in range(SECONDS):
                theirs = json.loads(await stream.content.readline())
                task = source.tasks()[0]
                shown = answers.of_container(sampler, task, source.container, answers.V3)
                yield theirs, json.loads(await shown)
            running.cancel()
    finally:
        sampler.close()


def keys(value: dict[str, Any], prefix: str = "") -> set[str]:
    """All keys, with those of objects inside."""
    found = set()
    for name, each in value.items():
        found.add(prefix + name)
        if isinstance(each, dict):
            found |= keys(each, f"{prefix}{name}.")
    return found


async def test_statistics_are_those_of_docker() -> None:
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            dockerd() as docker,
            burning(docker) as container,
        ):
            pairs = [each async for each in both(docker, container)]
    except (Missing, HelloError) as reason:
        pytest.skip(str(reason))
    (theirs_first, ours_first), (theirs, ours) = pairs[0], pairs[-1]
    percentage = docker_percentage(theirs["cpu_stats"], theirs_first["cpu_stats"])
    assert 0 < percentage < 33
    assert docker_percentage(ours["cpu_stats"], ours_first["cpu_stats"]) == pytest.approx(
        percentage, rel=0.02
    )
    assert keys(theirs) <= keys(ours)
    assert ours["pids_stats"] == theirs["pids_stats"] == {"current": 1, "limit": 50}
    assert ours["memory_stats"]["limit"] == theirs["memory_stats"]["limit"]
    used = theirs["memory_stats"]["usage"]
    assert ours["memory_stats"]["usage"] == pytest.approx(used, rel=0.1)
    assert ours["cpu_stats"]["online_cpus"] == theirs["cpu_stats"]["online_cpus"]
