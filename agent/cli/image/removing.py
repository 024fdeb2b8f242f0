"""``hostler image rm`` and ``prune``: images that are to go."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agent.cli.errors import FAILED, CommandError
from agent.cli.options import AsJson, ImageNames, Socket, connect
from agent.cli.output import print_columns, print_json
from agent.cli.spans import seconds
from agent.task.units import size

PRUNE_S = 600.0
"""Longest time for many images to be removed."""

HEADINGS = ("IMAGE", "SIZE", "DECISION", "WHY")

Json = dict[str, Any]


def remove(
    images: ImageNames,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            "-f",
            help="Even if tasks need it. Running containers go on; those that are still to be"
            " created need the image again.",
        ),
    ] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Remove names of images; an image is gone with its last tag, or by its digest."""
    client = connect(socket)
    removed: list[str] = []
    freed, failed = 0, False
    for each in images:
        try:
            answer = client.call("Hostler.RemoveImage", {"image": each, "force": force})
        except CommandError as error:
            failed = True
            print(f"hostler: {error}", file=sys.stderr)
        else:
            removed += answer["removed"]
            freed += answer["freed"]
    if json:
        print_json({"removed": removed, "freed": freed})
    else:
        print("".join(f"{each}\n" for each in removed), end="")
    if failed:
        raise typer.Exit(FAILED)


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be removed, and why.")
    ] = False,
    older_than: Annotated[
        str,
        typer.Option(
            metavar="SPAN",
            help="Keep what was pulled, or made if nobody pulled it, more recently: 2h, 3d.",
        ),
    ] = "",
    scheduled: Annotated[
        bool,
        typer.Option(
            "--scheduled",
            help="Decide as the agent's own clean-up does: by age, number and disk.",
        ),
    ] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Remove all images that no task needs, and tell of each image what became of it and why.

    Those in ECS_EXCLUDE_UNTRACKED_IMAGE stay.
    """
    if scheduled and older_than:
        raise CommandError("--older-than: the agent's own clean-up (--scheduled) has its own ages")
    age = seconds(older_than) if older_than else 0
    if age is None:
        raise CommandError(f"--older-than {older_than}: give a span such as 10m, 2h or 3d")
    asked = {"dryRun": dry_run, "scheduled": scheduled, "olderThanSeconds": age}
    answer = connect(socket).call("Hostler.PruneImages", asked, wait_s=PRUNE_S)
    if json:
        print_json(answer)
        return
    removed = "would go" if dry_run else "removed"
    print_columns([HEADINGS, *(_row(each, removed) for each in answer["decisions"])])
    print(f"{'would free' if dry_run else 'freed'} {size(answer['freed'])}")


def _row(decision: Json, removed: str) -> tuple[str, ...]:
    tags = [each for each in decision["names"] if "@" not in each] or decision["names"]
    return (
        ", ".join(tags),
        size(decision["size"]),
        removed if decision["removed"] else "kept",
        decision["why"],
    )
