"""``hostler reset``: nothing of Hostler is left on this host but its state and its settings.

Exit codes: 0 when all of it is gone, 1 when something is left; 125 when nothing was tried.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.agent import setting
from agent.cli.errors import CommandError
from agent.cli.options import AsJson, GivenSettings
from agent.cli.output import print_json

if TYPE_CHECKING:
    from agent.settings import Settings

SOMETHING_LEFT = 1


def reset(
    force: Annotated[bool, typer.Option("--force", help="Stop tasks that still run.")] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Throw away the images in containerd's namespace too.")
    ] = False,
    json: AsJson = False,
    settings: GivenSettings = None,
) -> None:
    """Take away what the agent has made on this host; state, logs, volumes and settings stay.

    For a host that Hostler leaves, when no agent runs: containers, namespaces, bridge, firewall
    rules, cgroups, mounts and the run directory go. NICs are given back. To be run again if it is
    broken off or something resists. With --force wrong settings are no obstacle: what of them can't
    be used counts as not set.
    """
    import asyncio

    from agent.resetting import Reset, StillInUse

    if os.geteuid() != 0:
        raise CommandError("what the agent has made is root's: try again as root")
    given = dict(map(setting, settings or []))
    found = _salvaged(given) if force else _settings(given)
    work = Reset(found, force=force, images=images)
    try:
        asyncio.run(work.run())
    except StillInUse as error:
        raise CommandError(str(error)) from error
    if json:
        print_json({"removed": work.removed, "failed": work.failed})
    else:
        _tell(work.removed, work.failed)
    if work.failed:
        raise typer.Exit(SOMETHING_LEFT)


def _tell(removed: list[str], failed: list[str]) -> None:
    for each in removed:
        print(f"removed {each}")
    for each in failed:
        print(f"hostler: not removed: {each}", file=sys.stderr)
    if not failed:
        print("nothing of Hostler is left on this host but its state and its settings")


def _settings(given: dict[str, str]) -> Settings:
    from agent import config

    try:
        return config.load(given, os.environ)
    except config.ConfigError as error:
        raise CommandError(f"{error}; with --force what is wrong counts as not set") from error


def _salvaged(given: dict[str, str]) -> Settings:
    """Whatever is wrong with the settings: what it was before can't be known any more."""
    from agent import config

    settings, problems = config.salvaged(given, os.environ)
    for each in problems:
        print(f"hostler: warning: {each}; it counts as not set", file=sys.stderr)
    return settings
