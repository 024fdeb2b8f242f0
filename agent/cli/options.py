"""Options and arguments that several verbs share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import tasks
from agent.cli.client import Client
from agent.cli.errors import CommandError
from agent.config import ConfigError, load


def connect(socket: Path | None) -> Client:
    """A client of the agent on ``socket``, or on the one that the settings name."""
    try:
        return Client(socket or load({}, os.environ).api_socket)
    except ConfigError as error:
        raise CommandError(str(error)) from error


def _task_ids(incomplete: str) -> list[str]:
    """For the shell's completion, which has no use for an error."""
    try:
        return [
            each
            for each in map(tasks.task_id, tasks.all_arns(connect(None)))
            if each.startswith(incomplete)
        ]
    except CommandError:
        return []


Socket = Annotated[
    Path | None,
    typer.Option("--socket", help="The agent's API socket. [default: api.sock in HOSTLER_RUN_DIR]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="A task's id, the beginning of it (4 characters or more), or its ARN.",
        autocompletion=_task_ids,
    ),
]
