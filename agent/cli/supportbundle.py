"""``hostler support-bundle``: all that who helps wants to see of this host, in one file.

Works with a running agent and without one, as root and as somebody who sees less.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.errors import CommandError
from agent.cli.options import AsJson, Socket
from agent.cli.output import print_json

if TYPE_CHECKING:
    from agent.cli.support.pieces import Site


def support_bundle(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="[default: hostler-support-HOST-TIME.tar.gz]"
        ),
    ] = None,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Gather logs, states and settings for whoever helps, without secrets, into a .tar.gz."""
    # All that other verbs need not wait for.
    from agent.cli.support import agentside, commands, hostfiles, stored
    from agent.cli.support.bundle import name_of, written
    from agent.cli.support.pieces import Missing

    at = time.time()
    path = output or Path(name_of(os.uname().nodename, at))
    # What tasks say comes last: there may be more of it than a bundle has room for.
    pieces = (*hostfiles.PIECES, *commands.PIECES, *agentside.PIECES)
    with written(path, at) as bundle, _told(len(pieces), quiet=json) as tell:
        site = _site(socket, bundle.miss)
        tell("what is secret")
        try:
            stored.learn_stored(site)
        except Missing as error:
            bundle.miss("masking", str(error))
        try:
            agentside.learn_tasks(site)
        except CommandError as error:
            bundle.miss("tasks", str(error))
        bundle.gather(site, pieces, tell)
    gathered, size = bundle.gathered, path.stat().st_size
    if json:
        facts = {"files": gathered.files, "bytes": size, "missing": gathered.missing}
        print_json({"file": str(path), **facts})
        return
    lacks = f"; {len(gathered.missing)} things could not be had: see missing.txt in it"
    print(f"{path} ({_kib(size)}, {gathered.files} files{lacks if gathered.missing else ''})")
    print(
        "Environment values, commands, labels, log options and known secrets are not in it, nor\n"
        "what containers wrote. Before you pass it on, look through journal/ and tasks/ for names\n"
        "and addresses that are nobody's business: tar -xzf FILE, then grep."
    )


def _site(socket: Path | None, miss: Callable[[str, str], None]) -> Site:
    """Where the pieces come from. Secrets that are in files are known by then."""
    from agent import config
    from agent.cli.support.known import Known
    from agent.cli.support.masks import Masks
    from agent.cli.support.pieces import Site
    from agent.host.checkup.subject import Subject

    known, masks = Known(), Masks()
    loaded = None
    try:
        loaded = config.read({}, os.environ)
        settings = loaded.settings
    except config.ConfigError as error:
        miss("settings", f"what is wrong counts as not set: {error}")
        settings, _ = config.salvaged({}, os.environ)
    known.gather(loaded or config.Loaded(settings, {}), os.environ.items())
    for each in known.unread:
        miss("masking", f"secrets in {each} are not known, so not masked by their values")
    masks.learn_secrets(known.values)
    masks.learn(known.others)
    return Site(Subject(settings), socket or settings.api_socket, loaded, masks)


@contextmanager
def _told(count: int, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """To be called before each piece; a bar where a person looks."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda _name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    ) as progress:
        bar = progress.add_task("", total=count + 1)

        def tell(name: str) -> None:
            progress.update(bar, advance=1, description=name)
            progress.refresh()

        yield tell


def _kib(size: int) -> str:
    return f"{size / 1024:.0f} KiB"
