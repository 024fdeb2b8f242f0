"""``hostler logs``: what containers have written."""

from __future__ import annotations

import heapq
import json as jsonlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from agent.cli import tasks
from agent.cli.client import Client
from agent.cli.entries import LogReader
from agent.cli.errors import CommandError
from agent.cli.options import AsJson, Socket, TaskName, connect
from agent.cli.output import coloured
from agent.cli.spans import seconds

FOLLOW_S = 0.5
"""How often a log is asked for news while the task has none."""

Show = Callable[[str, dict[str, Any]], None]


def logs(
    task: TaskName,
    container: Annotated[
        str,
        typer.Argument(help="One container only.", show_default=False),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the task has ended.")
    ] = False,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Not what is older: 10m, 2h, 3d, or RFC 3339.")
    ] = "",
    tail: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Only the last N lines of each."),
    ] = None,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Print what a task's containers wrote.

    What one container wrote comes as it was written, its standard error on standard error. With
    several containers the lines are in the order of time, each with its container's name.
    """
    client = connect(socket)
    found = tasks.find(client, task)
    names = [each["name"] for each in found["containers"] if container in ("", each["name"])]
    if not names:
        raise CommandError(f"the task has no container {container!r}")
    asked = _without_none({"sinceTime": _since(since, time.time()), "tail": tail})
    readers = [LogReader(client, found["taskArn"], each, **asked) for each in names]
    show = _as_json if json else _plain if len(names) == 1 else _prefixed(names)
    if follow:
        _follow(client, found["taskArn"], readers, show)
    else:
        _print_all(readers, show)


def _follow(client: Client, arn: str, readers: list[LogReader], show: Show) -> None:
    since, closed = 0, False
    while not closed:
        asked = {"task": arn, "since": since, "waitSeconds": FOLLOW_S if since else 0}
        answer = client.call("Hostler.WatchTask", asked)
        since, closed = since + len(answer["steps"]), answer["closed"]
        _print_all(readers, show)


def _print_all(readers: list[LogReader], show: Show) -> None:
    """Every entry there is for now, of all containers, by time."""
    streams = [_named(each) for each in readers]
    for name, entry in heapq.merge(*streams, key=lambda each: str(each[1]["time"])):
        show(name, entry)
    sys.stdout.flush()


def _named(reader: LogReader) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((reader.container, entry) for entry in reader.read())


def _plain(_container: str, entry: dict[str, Any]) -> None:
    stream = sys.stderr if entry["stream"] == "stderr" else sys.stdout
    stream.write(entry["text"])


def _prefixed(names: list[str]) -> Show:
    width = max(map(len, names))
    heads = {each: coloured(each.ljust(width), number) for number, each in enumerate(names)}

    def show(container: str, entry: dict[str, Any]) -> None:
        sys.stdout.write(f"{heads[container]} | {entry['text'].removesuffix(chr(10))}\n")

    return show


def _as_json(container: str, entry: dict[str, Any]) -> None:
    sys.stdout.write(jsonlib.dumps({"container": container, **entry}) + "\n")


def _since(text: str, now: float) -> float | None:
    """Epoch seconds of ``10m`` (ago) or an RFC 3339 time. Raises CommandError."""
    if text == "":
        return None
    if (ago := seconds(text)) is not None:
        return now - ago
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise CommandError(
            f"--since {text}: give a span such as 10m or 3d, or a time such as 2025-01-31T10:00:00Z"
        ) from error


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}
