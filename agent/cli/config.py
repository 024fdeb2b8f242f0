"""``hostler config``: every setting as an agent that starts now would have it, and why."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from agent.cli.agent import CANT_START, setting
from agent.cli.options import AsJson, GivenSettings
from agent.cli.output import print_columns, print_json
from agent.config import HIDDEN, ConfigError, Loaded, names, read
from agent.config.shown import shown

_SECRET = "(hidden)"  # noqa: S105 - the place of one


def config(
    json: AsJson = False,
    settings: GivenSettings = None,
) -> None:
    """Print all settings with where each comes from.

    The exit code is 1 if they can't be used.
    """
    try:
        loaded = read(dict(map(setting, settings or [])), os.environ)
    except ConfigError as error:
        print(f"hostler: {error}", file=sys.stderr)
        raise typer.Exit(CANT_START) from error
    every = rows(loaded)
    if json:
        print_json({"settings": every, "ignored": ignored(loaded), "warnings": loaded.warnings})
        return
    print_columns([(each["name"], each["value"] or "-", each["from"]) for each in every])
    for each in ignored(loaded):
        print(f"{each['name']} ({each['from']}) has no effect: {each['why']}", file=sys.stderr)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def rows(loaded: Loaded) -> list[dict[str, Any]]:
    """Every setting, in the order of the table; secret ones without their values."""
    found = []
    for name, known_as in names().items():
        value = getattr(loaded.settings, known_as)
        text = _SECRET if known_as in HIDDEN and value else shown(value)
        if value is None and name.endswith("_LISTEN"):
            text = "off"
        given = loaded.given.get(name)
        found.append({"name": name, "value": text, "from": given.where if given else "default"})
    return found


def ignored(loaded: Loaded) -> list[dict[str, str]]:
    """What was set and has no effect, with the reason."""
    return [
        {"name": name, "from": given.where, "why": why}
        for name, (given, why) in loaded.ignored.items()
    ]
