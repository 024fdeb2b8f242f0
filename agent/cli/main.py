"""``hostler``: all verbs, and the last word on errors.

A CommandError is one line on standard error, a reader that went away ends us silently; nobody is
shown a traceback for either.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer

from agent.cli import image, network, trial, volume
from agent.cli.agent import agent
from agent.cli.config import config
from agent.cli.doctor import doctor
from agent.cli.drain import drain, undrain
from agent.cli.errors import FAILED, CommandError
from agent.cli.inspect import inspect
from agent.cli.logs import logs
from agent.cli.ps import ps
from agent.cli.reset import reset
from agent.cli.run import run
from agent.cli.stop import stop
from agent.cli.supportbundle import support_bundle
from agent.cli.version import version

app = typer.Typer(
    name="hostler",
    help="Runs ECS task definitions on this host through containerd.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (run, ps, inspect, logs, stop, drain, undrain, doctor, config, version, agent, reset):
    app.command()(verb)
app.command("support-bundle")(support_bundle)
app.add_typer(image.app, name="image")
app.add_typer(network.app, name="network")
app.add_typer(volume.app, name="volume")
app.command(hidden=True)(trial.trial)


COMPLETING = "_HOSTLER_COMPLETE"
"""Set by the shells' scripts when they ask what may be completed (typer's name for it)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command with ``arguments``, those of the process by default. Raises SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a container wrote may fit no locale
            stream.reconfigure(errors="backslashreplace")
    if COMPLETING in os.environ:
        # typer would load it for help that is plain text: half of what a completion takes. The
        # package has no part of it that formats Markdown.
        sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        app(args=arguments, prog_name="hostler")
    except CommandError as error:
        print(f"hostler: {error}", file=sys.stderr)
        sys.exit(FAILED)
