"""The bundle itself: every piece within its time and size, masked, into one archive.

A piece that can't be had costs no other: it is named in ``missing.txt`` with the reason.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.cli.errors import CommandError
from agent.cli.support.pieces import File, Missing, Piece, Site

PIECE_S = 60.0
"""For a piece to come: programs and calls have shorter deadlines, file systems that hang none."""

FILE_BYTES = 8 * 1024 * 1024
ALL_BYTES = 128 * 1024 * 1024
"""Of text, before it is compressed."""

README = """\
Made by 'hostler support-bundle' for whoever is to help with this host.

Left out: values of environment variables, commands, labels, tags, log options, and whatever else
users write freely into task definitions; secrets, keys, logins; what containers have written.
Masked as (hidden) in all texts: those values, secrets that are in files of this host, and what
looks like a secret.
Still in here: names of tasks, containers, images, hosts and interfaces, addresses, what the agent
and the kernel have logged. Look through it before you pass it on.
"""


@dataclass(slots=True)
class Gathered:
    """What became of the pieces: ``missing`` are lines, ``files`` how many there are."""

    missing: list[str] = field(default_factory=list)
    files: int = 0
    size: int = 0


class Bundle:
    """An archive that is being written; everything below one folder."""

    def __init__(self, tar: tarfile.TarFile, top: str, at: float) -> None:
        self._tar, self._top, self._at = tar, top, at
        self.gathered = Gathered()

    def gather(self, site: Site, pieces: Iterable[Piece], tell: Callable[[str], None]) -> None:
        """All pieces; ``tell`` is called with the name of each before it."""
        self.add("README.txt", README)
        for piece in pieces:
            tell(piece.name)
            try:
                files = within(PIECE_S, lambda piece=piece: _masked(site, piece))  # type: ignore[misc]
            except (Missing, CommandError, OSError) as error:
                self.miss(piece.name, str(error))
                continue
            for name, text in files:
                self._add_bounded(name, text)
        self.gathered.missing = [site.masks.mask(each) for each in self.gathered.missing]
        self.add("missing.txt", "\n".join(self.gathered.missing or ["nothing"]) + "\n")

    def miss(self, name: str, why: str) -> None:
        """This piece is not in it."""
        self.gathered.missing.append(f"{name}: {' '.join(why.split())}")

    def _add_bounded(self, name: str, text: str) -> None:
        if len(text) > FILE_BYTES:
            self.miss(name, f"only its last {FILE_BYTES} characters are here")
            text = text[-FILE_BYTES:]
        if self.gathered.size + len(text) > ALL_BYTES:
            self.miss(name, "the bundle is large enough already")
            return
        self.add(name, text)

    def add(self, name: str, text: str) -> None:
        """A file with this text."""
        content = text.encode(errors="replace")
        entry = tarfile.TarInfo(f"{self._top}/{name}")
        entry.size, entry.mtime, entry.mode = len(content), int(self._at), 0o600
        self._tar.addfile(entry, io.BytesIO(content))
        self.gathered.files += 1
        self.gathered.size += len(content)


def _masked(site: Site, piece: Piece) -> list[File]:
    # What is JSON has been masked text by text: as a whole it would be none any more.
    return [
        (name, text if name.endswith(".json") else site.masks.mask(text))
        for name, text in piece.get(site)
    ]


@contextmanager
def written(path: Path, at: float) -> Iterator[Bundle]:
    """A bundle at ``path``, for its owner's eyes; nothing is left of it if it does not come about.

    Raises CommandError if there is something already, or it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} is there already: name another file with --output") from None
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}") from error
    top = path.name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar")
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar,
        ):
            yield Bundle(tar, top, at)
    except BaseException as error:
        with suppress(FileNotFoundError):
            path.unlink()
        if isinstance(error, OSError):
            raise CommandError(f"{path} can't be written: {error.strerror or error}") from error
        raise


def within(seconds: float, work: Callable[[], list[File]]) -> list[File]:
    """What ``work`` gives, in a thread of its own. Raises what it raises, Missing if it hangs.

    Such a thread is left alone and ends with this process: nothing can end it.
    """
    came: list[list[File]] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            came.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=run, name="piece", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not came:
        raise Missing(f"it did not come within {seconds:g} s")
    return came[0]


def name_of(host: str, at: float) -> str:
    """What a bundle of this host is called."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    safe = "".join(each if each.isalnum() or each in "-." else "-" for each in host)
    return f"hostler-support-{safe or 'host'}-{stamp}.tar.gz"
