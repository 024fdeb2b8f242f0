"""Who may call the API: the kernel's word counts, even when the socket can be reached."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.unit.doors.agents import serving

NOBODY = 65534
CALLER = """
import os, socket, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
with socket.socket(socket.AF_UNIX) as caller:
    caller.connect(sys.argv[1])
    caller.sendall(
        b"POST " + sys.argv[3].encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
        b"X-Amz-Target: AmazonEC2ContainerServiceV20141113.ListTasks\\r\\n"
        b"Content-Length: 2\\r\\n\\r\\n{}"
    )
    while data := caller.recv(65536):
        sys.stdout.buffer.write(data)
"""


async def called_as(uid: int, path: str = "/") -> tuple[int, dict[str, Any]]:
    """Status and body of a call by ``uid`` to a socket that everybody can connect to."""
    with TemporaryDirectory(prefix="hostler-callers-") as folder:
        Path(folder).chmod(0o755)
        async with serving(Path(folder)) as agent:
            agent.socket.chmod(0o666)
            script = [sys.executable, "-c", CALLER, str(agent.socket), str(uid), path]
            done = await asyncio.to_thread(
                subprocess.run, script, capture_output=True, timeout=20, check=True
            )
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
