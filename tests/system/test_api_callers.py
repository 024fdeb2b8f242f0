"""Who may call the API: the kernel's word counts, and the socket lets nobody else connect."""

from __future__ import annotations

import asyncio
import grp
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agent.doors.unix import UnixDoor
from tests.unit.doors.agents import serving

NOBODY = 65534
SOME = grp.getgrgid(1)
"""A group that is there."""

CALLER = """
import os, socket, sys
user, path, primary, *others = sys.argv[2:]
os.setgroups(list(map(int, others)))
os.setgid(int(primary))
os.setuid(int(user))
with socket.socket(socket.AF_UNIX) as caller:
    caller.connect(sys.argv[1])
    caller.sendall(
        b"POST " + path.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
        b"X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListTasks\\r\\n"
        b"Content-Length: 2\\r\\n\\r\\n{}"
    )
    while data := caller.recv(65536):
        sys.stdout.buffer.write(data)
"""


async def called_as(
    uid: int,
    path: str = "/",
    *,
    group: str | None = None,
    mode: int | None = 0o666,
    groups: tuple[int, ...] = (NOBODY,),
) -> tuple[int, dict[str, Any]]:
    """Status and body of a call by ``uid`` with these groups, by default one that can connect.

    ``group`` is that of the door. Status 0: there was no connection.
    """
    with TemporaryDirectory(prefix="hostler-callers-") as folder:
        Path(folder).chmod(0o755)
        async with serving(Path(folder), group=group) as agent:
            if mode is not None:
                agent.socket.chmod(mode)
            given = (agent.socket, uid, path, *groups)
            script = [sys.executable, "-c", CALLER, *map(str, given)]
            done = await asyncio.to_thread(
                subprocess.run, script, capture_output=True, timeout=60, check=False
            )
    if b"PermissionError" in done.stderr:
        return 0, {}
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def test_root_is_served() -> None:
    assert await called_as(0) == (200, {"taskArns": []})


async def test_another_user_is_refused_though_the_socket_lets_it_connect() -> None:
    status, body = await called_as(NOBODY)
    assert (status, body["__type"]) == (400, "AccessDeniedException")
    assert "user 65534 may not use this agent" in body["message"]


async def test_another_user_can_not_load_an_image_either() -> None:
    status, body = await called_as(NOBODY, "/images")
    assert (status, body["__type"]) == (400, "AccessDeniedException")


@pytest.mark.parametrize("groups", [(SOME.gr_gid,), (NOBODY, SOME.gr_gid), (NOBODY, 7, 1, 9)])
async def test_a_member_of_the_doors_group_is_served_whichever_of_its_groups_that_is(
    groups: tuple[int, ...],
) -> None:
    answer = await called_as(NOBODY, group=SOME.gr_name, mode=None, groups=groups)
    assert answer == (200, {"taskArns": []})


async def test_who_is_not_in_it_can_not_connect_and_is_refused_if_it_can() -> None:
    assert await called_as(NOBODY, group=SOME.gr_name, mode=None) == (0, {})
    status, body = await called_as(NOBODY, group=SOME.gr_name)
    assert (status, body["__type"]) == (400, "AccessDeniedException")


@pytest.mark.parametrize("group", [None, "no-such-group"])
async def test_without_a_group_of_that_name_the_socket_is_roots_alone(
    tmp_path: Path, group: str | None
) -> None:
    assert await called_as(NOBODY, group=group, mode=None, groups=(SOME.gr_gid,)) == (0, {})
    door = UnixDoor(tmp_path / "api.sock", group)
    status = (tmp_path / "api.sock").stat()
    door.close()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o600, 0, 0)
