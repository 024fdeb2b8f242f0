"""``hostler image pull``: an image from its registry."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from agent.cli.errors import CommandError
from agent.cli.options import AsJson, Socket, connect
from agent.cli.pulls import drawing

LEFT = 130
"""Exit code after Ctrl-C, as shells report a SIGINT."""


def pull(
    image: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as debian:13 or example.com/app@sha256:...")
    ],
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Pull an image from its registry, with the logins of this host.

    With --json a line for each step of the way, the image in the last one. Ctrl-C cancels the pull.
    """
    try:
        with closing(connect(socket).pull_image(image)) as steps:
            found = _printed(steps) if json else _drawn(image, steps)
    except KeyboardInterrupt:
        print("hostler: the pull is cancelled", file=sys.stderr)
        raise typer.Exit(LEFT) from None
    if found is None:
        raise CommandError("the agent broke off before the image was here: ask it again")
    if not json:
        print(f"{found['name']}\n{found['digest']}")


def _printed(steps: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    found = None
    for each in steps:
        sys.stdout.write(jsonlib.dumps(each) + "\n")
        sys.stdout.flush()
        found = each.get("image", found)
    return found


def _drawn(image: str, steps: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    found, begun = None, False
    with closing(drawing()) as screen:
        for each in steps:
            if not begun:  # the agent has taken it on
                begun = True
                print(f"pulling {image}", flush=True)
            screen.show(each.get("pulls", ()))
            found = each.get("image", found)
    return found
