"""Docker: a dockerd of our own on a containerd of its own, with its default bridge and iptables."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from agent.containerd.embedded import EmbeddedContainerd
from bench.peers.commands import CommandLine
from bench.programs import Missing, ProgramFailed, daemon, installed
from bench.world import World

ACCOUNT = "docker"


@asynccontextmanager
async def dockerd(world: World) -> AsyncIterator[Path]:
    """A dockerd with the image; gives its socket. Raises Missing."""
    installed("dockerd", "docker")
    folder = world.scratch / "docker"
    socket, account = folder / "docker.sock", world.entered(ACCOUNT)
    containerd = EmbeddedContainerd(folder / "c", folder / "s", folder / "c.sock")
    command = (
        *("dockerd", "--host", f"unix://{socket}", "--containerd", str(containerd.socket)),
        *("--data-root", str(folder / "root"), "--exec-root", str(folder / "exec")),
        *("--pidfile", str(folder / "dockerd.pid")),
        *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", account.containers),
    )
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    running = daemon(*command, env=env, scratch=folder / "daemon", ready=socket)
    async with AsyncExitStack() as stack:
        await containerd.start()
        stack.push_async_callback(containerd.stop)
        try:
            await stack.enter_async_context(running)
            await command_line(world, socket).load(world.layer)
        except ProgramFailed as error:
            raise Missing(f"dockerd does not work here: {error}") from error
        yield socket


def command_line(world: World, socket: Path) -> CommandLine:
    """The client ``docker``."""
    env = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(world.scratch / "docker")}
    return CommandLine("docker run -d", world.account(ACCOUNT), ("docker",), env=env)
