"""Tasks with roles for system tests: a roles file, who asks for credentials, and an AWS of our own.

Agents and tasks live on the host of a lab, so that host mode's addresses meet nobody else's.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, BinaryIO

import botocore
from moto.server import ThreadedMotoServer

from tests.system.agent import Agent
from tests.system.netlab import Lab
from tests.system.tasks import SERVES, Json, Task, names_of, run, shell

ROLE = "arn:aws:iam::111122223333:role/web"
METADATA = ("169.254.170.2", 80)
LOOPBACK = ("127.0.0.1", 51679)
DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer, its body read as JSON."""

    status: int
    body: Any


def get(address: tuple[str, int], path: str, headers: Mapping[str, str] | None = None) -> Answered:
    """The answer from the network namespace of the calling thread."""
    connection = http.client.HTTPConnection(*address, timeout=DEADLINE_S)
    try:
        connection.request("GET", path, headers={"User-Agent": "lab/1", **(headers or {})})
        answer = connection.getresponse()
        return Answered(answer.status, json.loads(answer.read()))
    finally:
        connection.close()


def in_haste(address: tuple[str, int], path: str) -> list[int]:
    """The statuses of many requests that were all sent before the first answer was read."""
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(address, DEADLINE_S)) for _ in range(20)
        ]
        for each in clients:
            each.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode() * 10)
        answers = [stack.enter_context(each.makefile("rb")) for each in clients]
        return [_status(each) for each in answers for _ in range(10)]


def _status(answers: BinaryIO) -> int:
    """Of the next answer, of which nothing is left then."""
    status = int(answers.readline().split()[1])
    headers = http.client.parse_headers(answers)
    answers.read(int(headers["Content-Length"]))
    return status


def write_roles(agent: Agent, text: str) -> None:
    """The roles file says this from now on."""
    path = Path(agent.settings["HOSTLER_TASK_ROLES"])
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(path)  # the agent may be reading at any moment


def prints(folder: Path, **credentials: str) -> str:
    """A `credential_process` that prints these, beside invented keys."""
    printed = {"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s", **credentials}
    path = folder / f"printed-{len(list(folder.iterdir()))}"
    path.write_text(json.dumps(printed))
    return f"cat {shlex.quote(str(path))}"


def waits(agent: Agent, *, role: str | None = ROLE, name: str = "app", **fields: object) -> Task:
    """A task with the role that runs until it is asked to stop."""
    task = run(agent, shell(name, SERVES), **({"taskRoleArn": role} if role else {}), **fields)
    task.until_running()
    task.until_log(name)
    return task


def variables(task: Task, container: str = "app") -> dict[str, str]:
    """The environment of the container's first process."""
    text = Path(f"/proc/{task.pid(container)}/environ").read_text()
    return dict(each.split("=", 1) for each in text.split("\0") if each)


def relative_uri(task: Task) -> str:
    """Where a task with a namespace of its own finds its credentials."""
    return variables(task)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]


def asked(lab: Lab, task: Task, path: str) -> Answered:
    """What the container `app` of a task in bridge mode gets."""
    inside = names_of(task.agent).netns(task.id, "app")
    return lab.threads.call(inside, partial(get, METADATA, path))


def python(script: str, **fields: object) -> Json:
    """What `run` takes for a task whose container `app` runs Python with our packages.

    Interpreter and packages are those of this process, mounted at their places, read-only.
    """
    parts = [Path(sys.base_prefix), Path(sys.prefix), Path(botocore.__file__).parents[1]]
    places = {each: each for each in dict.fromkeys(map(Path.resolve, parts))}
    places |= {Path(each): Path(each).resolve() for each in ("/lib", "/lib64")}
    libraries = [Path(sys.base_prefix) / "lib", *Path("/usr/lib").glob("*-linux-gnu")]
    app = {
        **shell("app", ""),
        "command": [sys.executable, "-c", script],
        "memory": 256,
        "environment": [{"name": "LD_LIBRARY_PATH", "value": ":".join(map(str, libraries))}],
        "mountPoints": [
            {"sourceVolume": f"v{number}", "containerPath": str(place), "readOnly": True}
            for number, place in enumerate(places)
        ],
        **fields,
    }
    volumes = [
        {"name": f"v{number}", "host": {"sourcePath": str(source)}}
        for number, source in enumerate(places.values())
    ]
    return {"containerDefinitions": [app], "volumes": volumes}


@contextlib.contextmanager
def aws(lab: Lab) -> Iterator[str]:
    """An AWS (moto) on the lab's host; gives its port, which is open on all addresses there."""

    def start() -> ThreadedMotoServer:  # a thread is in the namespace of the one that made it
        server = ThreadedMotoServer("0.0.0.0", 0, verbose=False)
        server.start()
        return server

    server = lab.on_host(start)
    try:
        yield str(server.get_host_and_port()[1])
    finally:
        server.stop()


def bridge_address(agent: Agent) -> str:
    """The address of the lab's host on the bridge, as its tasks see it."""
    return str(IPv4Network(agent.settings["HOSTLER_BRIDGE_SUBNET"])[1])
