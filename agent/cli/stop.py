"""``hostler stop``: asks for a task to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli import tasks
from agent.cli.client import Client
from agent.cli.options import Socket, TaskName, connect

WAIT_S = 30.0
"""One long poll; as many follow as it takes, since a stop timeout may be of any length."""


def stop(
    task: TaskName,
    reason: Annotated[str, typer.Option(help="Kept as the task's stoppedReason.")] = (
        "Task stopped by user"
    ),
    force: Annotated[bool, typer.Option("--force", help="Kill at once, without SIGTERM.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when nothing of the task is left.")
    ] = False,
    socket: Socket = None,
) -> None:
    """Stop a task gracefully, or kill it.

    Its containers get SIGTERM, and SIGKILL when they outlast their stop timeout.
    """
    client = connect(socket)
    arn = tasks.find(client, task)["taskArn"]
    client.call("StopTask", {"task": arn, "reason": reason, "force": force})
    if wait:
        until_closed(client, arn)
    print(tasks.task_id(arn))


def until_closed(client: Client, arn: str) -> None:
    """Nothing of the task is left on the host."""
    since, closed = 0, False
    while not closed:
        asked = {"task": arn, "since": since, "waitSeconds": WAIT_S}
        answer = client.call("Hostler.WatchTask", asked, wait_s=WAIT_S)
        since, closed = since + len(answer["steps"]), answer["closed"]
