"""``hostler version``."""

from __future__ import annotations

from agent import VERSION
from agent.cli.options import AsJson
from agent.cli.output import print_json


def version(json: AsJson = False) -> None:
    """Print the version."""
    if json:
        print_json({"version": VERSION})
    else:
        print(f"hostler {VERSION}")
