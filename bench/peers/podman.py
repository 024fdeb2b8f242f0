"""podman with stores of its own, on runc as all the others."""

from __future__ import annotations

from bench.peers.commands import CommandLine
from bench.programs import Missing, ProgramFailed, installed
from bench.world import World


async def open_podman(world: World) -> CommandLine:
    """podman has the image. Raises Missing."""
    installed("podman", "conmon", "runc")
    folder, account = world.scratch / "podman", world.entered("podman")
    prefix = (
        *("podman", "--root", str(folder / "root"), "--runroot", str(folder / "run")),
        *("--tmpdir", str(folder / "tmp"), "--network-config-dir", str(folder / "networks")),
        *("--storage-driver", "overlay", "--runtime", "runc"),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    )
    options = ("--cgroup-parent", account.containers)
    podman = CommandLine("podman run -d", account, prefix, options=options)
    try:
        await podman.load(world.layer)
        await podman.once("trial")
    except ProgramFailed as error:
        raise Missing(f"podman does not work here: {error}") from error
    return podman
