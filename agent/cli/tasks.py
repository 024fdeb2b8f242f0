"""Finding and listing tasks through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.cli.client import Answer, Client
from agent.cli.errors import CommandError

SHORTEST_PREFIX = 4
PAGE = 100
"""Tasks that one DescribeTasks may name."""


def find(client: Client, text: str) -> Answer:
    """The task whose id begins with ``text``, or whose ARN it is. Raises CommandError."""
    wanted = task_id(text)
    if len(wanted) < SHORTEST_PREFIX:
        raise CommandError(f"{text!r} is too short: give at least {SHORTEST_PREFIX} characters")
    found = [each for each in all_arns(client) if task_id(each).startswith(wanted)]
    if len(found) > 1:
        raise CommandError(f"{len(found)} tasks begin with {text}: give more characters of the id")
    for each in describe(client, found):
        return each
    raise CommandError(f"there is no task {text}: 'hostler ps --all' shows those there are")


def describe(client: Client, arns: list[str]) -> list[Answer]:
    """The tasks as DescribeTasks shows them; those forgotten meanwhile are left out."""
    shown: list[Answer] = []
    for begin in range(0, len(arns), PAGE):
        asked = {"tasks": arns[begin : begin + PAGE], "include": ["TAGS"]}
        shown += client.call("DescribeTasks", asked)["tasks"]
    return shown


def all_arns(client: Client) -> list[str]:
    """ARNs of every task that the agent knows, stopped ones too."""
    running, stopped = (list(_arns(client, status)) for status in ("RUNNING", "STOPPED"))
    return list(dict.fromkeys(running + stopped))  # one may have stopped between the two


def _arns(client: Client, desired_status: str) -> Iterator[str]:
    asked: dict[str, Any] = {"desiredStatus": desired_status}
    while True:
        page = client.call("ListTasks", asked)
        yield from page["taskArns"]
        if "nextToken" not in page:
            return
        asked["nextToken"] = page["nextToken"]


def task_id(arn: str) -> str:
    """The id in a task's ARN."""
    return arn.rpartition("/")[2]


def definition_name(arn: str) -> str:
    """``family:revision`` in a task definition's ARN."""
    return arn.rpartition("/")[2]
