"""``hostler ps``: the tasks and their containers."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from agent.cli import tasks
from agent.cli.client import Answer, Client
from agent.cli.options import AsJson, Socket, connect
from agent.cli.output import age, print_columns, print_json

HEADINGS = ("TASK", "DEFINITION", "CONTAINER", "STATUS", "HEALTH", "PORTS", "AGE")
SHOWN_ID = 12


def ps(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Stopped tasks too.")] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """List tasks, a line for each container."""
    client = connect(socket)
    found = tasks.describe(client, tasks.all_arns(client))
    shown = [each for each in found if all_ or each["lastStatus"] != "STOPPED"]
    waiting = _waiting(client, shown)
    if json:
        print_json({"tasks": shown, **({"waiting": waiting} if waiting else {})})
        return
    shown.sort(key=lambda each: float(each["createdAt"]))
    now = time.time()
    print_columns([HEADINGS, *(row for each in shown for row in _rows(each, now))])
    for each in waiting:
        print(f"task {tasks.task_id(each['taskArn'])[:SHOWN_ID]} waits {each['waitsFor']}")


def _waiting(client: Client, shown: list[Answer]) -> list[Answer]:
    """Those of the tasks that wait for their share of the host, in their order."""
    pending = {each["taskArn"] for each in shown if each["lastStatus"] == "PENDING"}
    if not pending:
        return []
    queue = client.call("Hostler.DescribeQueue", {})["waiting"]
    return [each for each in queue if each["taskArn"] in pending]


def _rows(task: dict[str, Any], now: float) -> list[tuple[str, ...]]:
    return [
        (
            tasks.task_id(task["taskArn"])[:SHOWN_ID],
            tasks.definition_name(task["taskDefinitionArn"]),
            container["name"],
            _status(task, container),
            container["healthStatus"].lower().replace("unknown", "-"),
            ", ".join(map(_port, container["networkBindings"])) or "-",
            age(now - task["createdAt"]),
        )
        for container in task["containers"]
    ]


def _status(task: dict[str, Any], container: dict[str, Any]) -> str:
    status = str(container["lastStatus"])
    if status == "STOPPED" and "exitCode" in container:
        return f"STOPPED ({container['exitCode']})"
    return "STOPPING" if status == "RUNNING" and task["desiredStatus"] == "STOPPED" else status


def _port(binding: dict[str, Any]) -> str:
    host = binding.get("hostPort", binding.get("hostPortRange"))
    inside = binding.get("containerPort", binding.get("containerPortRange"))
    return f"{host}->{inside}/{binding['protocol']}"
