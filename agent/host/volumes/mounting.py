"""Mounting for volumes, by mount(8): it knows all options, and as a process of its own it can be
killed when a server does not answer.

The helpers of file systems (mount.nfs and the like) are not called: the kernel does NFS and SMB by
itself once it is given an address. What is mounted is in the host's mount namespace, and goes to
other namespaces, and away from there, as the directory it is mounted on says.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from agent.host.volumes.requests import MountRequest

DEADLINE_S = 60.0
"""For one mount. The kernel itself would try for minutes to reach a server."""

_MOUNT = ("mount", "--internal-only", "--no-mtab", "--no-canonicalize")

_GIVE_UP_S = 1.0
"""For a killed mount to be gone; one that hangs in the kernel mounts nothing once its directory
is gone."""


class MountFailed(Exception):
    """It could not be mounted; the text says why."""


async def mount(request: MountRequest, target: Path, deadline_s: float = DEADLINE_S) -> None:
    """``request`` is mounted on ``target``, an existing directory. Raises MountFailed."""
    try:
        async with asyncio.timeout(deadline_s):
            resolved = await _resolved(request)
            code, said = await _run(resolved, target)
    except TimeoutError:
        server = f" of {request.server}" if request.server else ""
        raise MountFailed(
            f"mounting {request.device}: no answer{server} within {deadline_s:g} s"
        ) from None
    if code != 0:
        raise MountFailed(f"mounting {request.device}: {_plain(said, target) or f'exit {code}'}")


async def _resolved(request: MountRequest) -> MountRequest:
    """With the address of its server, as the kernel resolves no names."""
    name = request.server
    if not name:
        return request
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MountFailed(f"mounting {request.device}: can't resolve {name}: {error}") from error
    return request.at(str(found[0][4][0]))


def end_leftovers(*folders: Path) -> None:
    """No mount that an agent before this one began still waits to be made below the folders.

    Else it might come to pass when nobody wants it any more. Blocking.
    """
    ended = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if tuple(words[: len(_MOUNT)]) != _MOUNT:
            continue
        if any(Path(words[-1]).is_relative_to(each) for each in folders):
            with suppress(psutil.NoSuchProcess):
                process.kill()
            ended.append(process)
    psutil.wait_procs(ended, timeout=_GIVE_UP_S)


def table_line(request: MountRequest, target: Path) -> str:
    """The request as a line of fstab(5)."""
    fields = (request.device, str(target), request.type, request.options or "defaults", "0", "0")
    return " ".join(map(_escaped, fields)) + "\n"


def _escaped(field: str) -> str:
    return re.sub(r"[\s\\#]", lambda found: f"\\{ord(found[0]):03o}", field, flags=re.ASCII)


async def _run(request: MountRequest, target: Path) -> tuple[int, str]:
    """Exit code and what it said on standard error. Killed when cancelled. Raises MountFailed.

    It reads what to mount from a table of its own: everybody sees arguments, and options may hold
    a password.
    """
    table = os.memfd_create("fstab")
    try:
        os.write(table, table_line(request, target).encode())
        return await _mounted_from(table, target)
    finally:
        os.close(table)


async def _mounted_from(table: int, target: Path) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *_MOUNT,
            *("--fstab", f"/proc/self/fd/{table}", "--target", str(target)),
            pass_fds=(table,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise MountFailed(f"can't run mount(8): {error}") from error
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_UP_S):
                await process.wait()
        raise
    return process.returncode or 0, said.decode(errors="replace")


def _plain(said: str, target: Path) -> str:
    """The first line of mount(8)'s words, without what the reader knows or can't use."""
    lines = [each.strip() for each in said.splitlines() if each.strip()]
    return (
        lines[0].removeprefix("mount:").strip().removeprefix(f"{target}:").strip() if lines else ""
    )
