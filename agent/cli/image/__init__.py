"""``hostler image``: the images on this host, a module for verbs that belong together."""

from __future__ import annotations

import typer

from agent.cli.image.archives import load, save
from agent.cli.image.listing import inspect, list_images
from agent.cli.image.pulling import pull
from agent.cli.image.removing import prune, remove

app = typer.Typer(help="Pull, list, move and remove images.", no_args_is_help=True)
app.command("pull")(pull)
app.command("ls")(list_images)
app.command("inspect")(inspect)
app.command("load")(load)
app.command("save")(save)
app.command("rm")(remove)
app.command("prune")(prune)
