"""``hostler doctor``: what is wrong with this host, and mending what can be mended."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli.options import AsJson, Socket, connect
from agent.cli.output import print_json

FOUND = 1
"""Exit code when something is wrong."""


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Look for what is wrong with this host; exit code 1 if anything is."""
    answer = connect(socket).call("Hostler.Diagnose", {"fix": fix}, wait_s=60)
    if json:
        print_json(answer)
    else:
        for each in answer["fixed"]:
            print(each)
        for each in answer["findings"]:
            print(f"{each['check']}: {each['what']}\n    {each['cure']}")
        if not answer["findings"]:
            print("nothing is wrong")
    if answer["findings"]:
        raise typer.Exit(FOUND)
