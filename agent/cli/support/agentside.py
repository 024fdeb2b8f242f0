"""Pieces that a running agent tells, and what its tasks' definitions teach about secrets."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.cli import tasks
from agent.cli.checkup import diagnose
from agent.cli.client import Client
from agent.cli.errors import CommandError
from agent.cli.inspect import described
from agent.cli.support import shapes
from agent.cli.support.pieces import File, Missing, Piece, Site, as_json

MOST_TASKS = 300
_HTTP_S = 5.0
_MOST_BYTES = 8 * 1024 * 1024

_PEERCRED = struct.Struct("3i")
_PROCESS = ("status", "limits", "cgroup", "sched", "io")


def learn_tasks(site: Site) -> None:
    """Fetches the tasks, masked, newest first; what is hidden in them is masked in all pieces.

    Raises CommandError.
    """
    client, hidden = Client(site.socket), list[str]()
    arns = tasks.all_arns(client)
    facts = {each["taskArn"]: each for each in tasks.describe(client, arns)}
    newest = sorted(facts.values(), key=lambda each: float(each.get("createdAt", 0)), reverse=True)
    for each in newest[:MOST_TASKS]:
        try:
            whole = described(client, each["taskArn"])
        except CommandError as error:  # forgotten meanwhile
            whole = {"task": each, "detail": str(error)}
        site.tasks.append(shapes.masked(whole, hidden))
    site.masks.learn(hidden)


def all_tasks(site: Site) -> Iterator[File]:
    """A file for each task, and all their states in one."""
    if not site.tasks:
        raise Missing("there are no tasks, or no agent that knows them")
    shown = site.masks.mask_all(site.tasks)
    yield "tasks.txt", "\n".join(_line(each["task"]) for each in shown) + "\n"
    for each in shown:
        yield as_json(f"tasks/{tasks.task_id(each['task']['taskArn'])}.json", each)


def _line(task: dict[str, Any]) -> str:
    words = (
        tasks.task_id(task["taskArn"]),
        tasks.definition_name(task.get("taskDefinitionArn", "")),
        task.get("lastStatus", ""),
        task.get("stopCode", ""),
        task.get("stoppedReason", ""),
    )
    return "  ".join(" ".join(each.split()) for each in words if each)


def call_piece(name: str, call: str) -> Piece:
    """The answer to one of Hostler's own calls."""

    def get(site: Site) -> Iterator[File]:
        answer = shapes.masked(Client(site.socket).call(call, {}), [])
        yield as_json(f"{name}.json", site.masks.mask_all(answer))

    return Piece(name, get)


def doctor(site: Site) -> Iterator[File]:
    """What doctor finds."""
    yield as_json("doctor.json", site.masks.mask_all(diagnose(site.socket, fix=False)))


def introspection_piece(name: str, path: str) -> Piece:
    """What the agent's introspection port answers."""

    def get(site: Site) -> Iterator[File]:
        listen = site.settings.introspection_listen
        if listen is None:
            raise Missing("HOSTLER_INTROSPECTION_LISTEN is off")
        connection = http.client.HTTPConnection(*listen, timeout=_HTTP_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse().read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            where = f"{listen[0]} port {listen[1]}"
            raise Missing(f"nobody answers on {where}: {error}") from None
        finally:
            connection.close()
        yield _introspected(site, name, answer.decode(errors="replace"))

    return Piece(name, get)


def _introspected(site: Site, name: str, text: str) -> File:
    if not name.endswith(".json"):
        return name, text
    try:
        return as_json(name, site.masks.mask_all(json.loads(text)))
    except (ValueError, RecursionError):
        raise Missing("what answers there is not an agent") from None


def process(site: Site) -> Iterator[File]:
    """The agent's process, as the kernel has it."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_HTTP_S)
            connection.connect(str(site.socket))
            size = _PEERCRED.size
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    except OSError as error:
        raise Missing(f"no agent answers on {site.socket}: {error.strerror}") from None
    pid = _PEERCRED.unpack(peer)[0]
    folder = Path(f"/proc/{pid}")
    told = [f"# {each}\n{_text(folder / each)}" for each in _PROCESS]
    told.append(f"# open files\n{len(os.listdir(folder / 'fd'))}\n")  # noqa: PTH208
    yield "agent-process.txt", f"pid {pid}\n" + "\n".join(told)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        return f"({error.strerror})\n"


PIECES = (
    Piece("doctor", doctor),
    call_piece("queue", "Hostler.DescribeQueue"),
    call_piece("networks", "Hostler.DescribeNetworks"),
    introspection_piece("metrics.txt", "/metrics"),
    introspection_piece("health.json", "/health"),
    Piece("agent-process", process),
    Piece("tasks", all_tasks),
)
