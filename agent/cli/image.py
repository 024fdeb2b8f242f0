"""``hostler image``: the images on this host."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from agent.cli.errors import CommandError
from agent.cli.options import AsJson, Socket, connect
from agent.cli.output import print_columns, print_json

CHUNK = 256 * 1024
SHOWN_DIGEST = len("sha256:") + 12

app = typer.Typer(help="Load and list images.", no_args_is_help=True)


@app.command()
def load(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="An OCI or Docker archive; - is standard input.")
    ],
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Load the images of an archive, as 'docker save' and 'skopeo copy' write them."""
    client = connect(socket)
    with ExitStack() as stack:
        archive = _open(file, stack)
        chunks = _with_progress(archive, stack) if sys.stderr.isatty() else _chunks(archive)
        names = client.load_image(chunks)
    if json:
        print_json({"images": names})
    else:
        print("\n".join(names))


@app.command("ls")
def list_images(json: AsJson = False, socket: Socket = None) -> None:
    """List the images on this host."""
    images = connect(socket).call("Hostler.ListImages", {})["images"]
    if json:
        print_json({"images": images})
        return
    rows = [(each["name"], each["digest"][:SHOWN_DIGEST], _size(each["size"])) for each in images]
    print_columns([("NAME", "DIGEST", "SIZE"), *rows])


def _open(file: str, stack: ExitStack) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as error:
        raise CommandError(f"can't read {file}: {error.strerror}") from error


def _chunks(archive: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := archive.read(CHUNK):
            yield chunk
    except OSError as error:
        raise CommandError(f"can't read the archive: {error.strerror}") from error


def _with_progress(archive: BinaryIO, stack: ExitStack) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import Progress

    progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
    size = os.fstat(archive.fileno()).st_size  # 0 for a pipe
    bar = progress.add_task("sending", total=size or None)
    for chunk in _chunks(archive):
        yield chunk
        progress.advance(bar, len(chunk))
    progress.update(bar, description="unpacking", total=None)


def _size(count: int) -> str:
    """Bytes in a unit of powers of 1000, as ``docker images`` shows them."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
