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


def _image_names(incomplete: str) -> list[str]:
    """As above."""
    try:
        images = connect(None).call("Hostler.ListImages", {})["images"]
    except CommandError:
        return []
    return [each["name"] for each in images if each["name"].startswith(incomplete)]


Socket = Annotated[
    Path | None,
    typer.Option("--socket", help="The agent's API socket. [default: api.sock in HOSTLER_RUN_DIR]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
GivenSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="As for 'hostler agent'; may be repeated."),
]
TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="A task's id, the beginning of it (4 characters or more), or its ARN.",
        autocompletion=_task_ids,
    ),
]
ImageName = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE",
        help="An image's name, or 12 digits or more of its digest or its id (sha256:...).",
        autocompletion=_image_names,
    ),
]
ImageNames = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="Names of images, or 12 digits or more of a digest or an id (sha256:...).",
        autocompletion=_image_names,
    ),
]
