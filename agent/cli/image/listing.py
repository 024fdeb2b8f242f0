"""``hostler image ls`` and ``inspect``: what images there are."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agent.cli.options import AsJson, ImageName, Socket, connect
from agent.cli.output import age, print_columns, print_json
from agent.task.units import size

HEADINGS = ("NAME", "TAG", "DIGEST", "SIZE", "CREATED", "PULLED", "USED", "TASKS")
FIRST_TO_GO = ("CREATED", "USED", "PULLED")
"""Columns that a narrow terminal has no room for."""

SHOWN_DIGEST = len("sha256:") + 12

Json = dict[str, Any]


def list_images(json: AsJson = False, socket: Socket = None) -> None:
    """List the images on this host, a line for each tag.

    TAG is - for what is left of an image whose tag has moved on. CREATED is when the image was
    made, USED when the last task was forgotten that referred to it. TASKS refer to it now.
    """
    images = connect(socket).call("Hostler.ListImages", {})["images"]
    if json:
        print_json({"images": images})
        return
    tagged = {each["digest"] for each in images if "@" not in each["name"]}
    shown = [each for each in images if "@" not in each["name"] or each["digest"] not in tagged]
    now = time.time()
    print_columns(_fitting([HEADINGS, *(_row(each, now) for each in shown)]))


def inspect(
    image: ImageName,
    json: Annotated[
        bool, typer.Option("--json", help="JSON is what this verb prints in any case.")
    ] = True,
    socket: Socket = None,
) -> None:
    """Show all about an image, as JSON."""
    print_json(connect(socket).call("Hostler.InspectImage", {"image": image})["image"])


def _row(image: Json, now: float) -> tuple[str, ...]:
    name, _, _ = image["name"].partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # that colon was of a port
        repository, tag = name, ""
    return (
        repository,
        tag or "-",
        image["digest"][:SHOWN_DIGEST],
        size(image["size"]),
        *(_ago(image[each], now) for each in ("createdAt", "pulledAt", "usedAt")),
        str(image["tasks"]),
    )


def _ago(at: float | None, now: float) -> str:
    return "-" if at is None else f"{age(now - at)} ago"


def _fitting(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """As many columns as a terminal has room for; all where nobody looks."""
    columns = list(zip(*rows, strict=True))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for each in FIRST_TO_GO:
        if sum(max(map(len, column)) + 2 for column in columns) - 2 > room:
            columns = [column for column in columns if column[0] != each]
    return list(zip(*columns, strict=True))
