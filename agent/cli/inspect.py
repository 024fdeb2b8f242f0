"""``hostler inspect``: all that the agent knows of one task."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli import tasks
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
    arn = tasks.find(client, task)["taskArn"]
    watched = client.call("Hostler.WatchTask", {"task": arn})
    asked = {"taskDefinition": watched["task"]["taskDefinitionArn"], "include": ["TAGS"]}
    print_json(
        {
            "task": watched["task"],
            "taskDefinition": client.call("DescribeTaskDefinition", asked)["taskDefinition"],
            "timeline": watched["steps"],
            "closed": watched["closed"],
            "runtimes": watched["runtimes"],
            "cgroup": watched["cgroup"],
            **({"waitsFor": watched["waitsFor"]} if watched.get("waitsFor") else {}),
        }
    )
