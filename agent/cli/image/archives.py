"""``hostler image load`` and ``save``: images from and to archives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from agent.cli.client import CHUNK
from agent.cli.errors import CommandError
from agent.cli.options import AsJson, ImageNames, Socket, connect
from agent.cli.output import print_json


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
        chunks = _shown(_chunks(archive), stack, "sending", _size(archive), "unpacking")
        names = client.load_image(chunks)
    if json:
        print_json({"images": names})
    else:
        print("\n".join(names))


def save(
    images: ImageNames,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE|-", help="- is standard output.")
    ],
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Save images to one archive, for 'hostler image load', 'docker load' and others."""
    if output == "-" and sys.stdout.isatty():
        raise CommandError("an archive is not for a terminal: give -o FILE, or redirect the output")
    with ExitStack() as stack:
        archive = connect(socket).save_images(images)
        size = _written(_shown(archive, stack, "saving", 0, "saved"), output)
    if json and output != "-":
        print_json({"images": images, "file": output, "size": size})


def _written(chunks: Iterable[bytes], output: str) -> int:
    """Bytes that went there. Nothing is left of a file that can't be written to its end."""
    if output == "-":
        size = sum(sys.stdout.buffer.write(each) for each in chunks)
        sys.stdout.buffer.flush()
        return size
    try:
        with _whole(Path(output)) as file:
            return sum(file.write(each) for each in chunks)
    except OSError as error:
        raise CommandError(f"can't write {output}: {error.strerror}") from error


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """The file appears under its name when all of it is there; what is no file is written to."""
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _open(file: str, stack: ExitStack) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as error:
        raise CommandError(f"can't read {file}: {error.strerror}") from error


def _size(archive: BinaryIO) -> int:
    try:
        return os.fstat(archive.fileno()).st_size  # 0 for a pipe
    except OSError:  # nothing of the system's
        return 0


def _chunks(archive: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := archive.read(CHUNK):
            yield chunk
    except OSError as error:
        raise CommandError(f"can't read the archive: {error.strerror}") from error


def _shown(
    chunks: Iterable[bytes], stack: ExitStack, doing: str, total: int, then: str
) -> Iterator[bytes]:
    """The chunks, with a bar on a terminal until ``stack`` ends; ``total`` 0 is unknown."""
    if not sys.stderr.isatty():
        yield from chunks
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    progress = stack.enter_context(shown)
    bar = progress.add_task(doing, total=total or None)
    for chunk in chunks:
        yield chunk
        progress.advance(bar, len(chunk))
    progress.update(bar, description=then, total=None)
