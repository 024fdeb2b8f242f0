"""``hostler inspect``: all that the agent knows of one task."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli import tasks
from agent.cli.client import Answer, Client
from agent.cli.options import Socket, TaskName, connect
from agent.cli.output import print_json


def inspect(
    task: TaskName,
    json: Annotated[
        bool, typer.Option("--json", help="JSON is what this verb prints in any case.")
    ] = True,
    socket: Socket = None,
) -> None:
    """Show all about a task, as JSON."""
    client = connect(socket)
    print_json(described(client, tasks.find(client, task)["taskArn"]))


def described(client: Client, arn: str) -> Answer:
    """All that the agent knows of the task with this ARN. Raises CommandError."""
    watched = client.call("Hostler.WatchTask", {"task": arn})
    asked = {"taskDefinition": watched["task"]["taskDefinitionArn"], "include": ["TAGS"]}
    return {
        "task": watched["task"],
        "taskDefinition": client.call("DescribeTaskDefinition", asked)["taskDefinition"],
        "timeline": watched["steps"],
        "closed": watched["closed"],
        "runtimes": watched["runtimes"],
        "cgroup": watched["cgroup"],
        **({"waitsFor": watched["waitsFor"]} if watched.get("waitsFor") else {}),
    }
