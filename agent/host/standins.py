"""Files of this host that stand in for what is kept in AWS, found by its name there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metadata.credentials.private import NotPrivate, read_private


class StandInError(Exception):
    """There is a file, but it can't serve until somebody mends what the text names."""


class StandInUnavailable(Exception):
    """There may be a file, but it can't be read now."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of such files. Where it is ``flat``, as systemd's are, a name's / are _ there."""

    path: Path
    flat: bool = False

    def content(self, name: str, most: int) -> tuple[Path, bytes] | None:
        """The file of that ``name`` (a relative path) and what it holds; None: there is none.

        Blocking. It must be root's alone, and have at most ``most`` bytes. Raises StandInError,
        StandInUnavailable.
        """
        path = self.file(name.replace("/", "_") if self.flat else name)
        if path is None:
            return None
        try:
            return path, read_private(path, most)
        except NotPrivate as error:
            raise StandInError(str(error)) from None
        except OSError as error:
            raise _unreadable(path, error) from None

    def file(self, name: str) -> Path | None:
        """The file itself if it is there and no folder, with no symlink left in its path.

        Raises StandInError for one that leads out of the folder, StandInUnavailable.
        """
        if any(part in ("", ".", "..") for part in name.split("/")):
            return None
        try:
            path = Path(os.path.realpath(self.path / name, strict=True))
            inside = path.is_relative_to(self.path.resolve())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # AWS takes longer names than file systems
                return None
            raise _unreadable(self.path / name, error) from None
        if not inside:
            raise StandInError(
                f"{self.path / name} leads out of {self.path}: put the file itself there"
            )
        return None if path.is_dir() else path


def first(folders: Iterable[Folder], names: Iterable[str], most: int) -> tuple[Path, bytes] | None:
    """The first file that there is, with what it holds. Blocking. Raises as ``content``."""
    every = tuple(names)
    for folder in folders:
        for name in every:
            found = folder.content(name, most)
            if found is not None:
                return found
    return None


def secret_folders(secrets_dir: Path) -> tuple[Folder, ...]:
    """Where files of secrets are: in ``secrets_dir``, and where systemd puts this service's."""
    systemd = os.environ.get("CREDENTIALS_DIRECTORY", "")
    ours = Folder(secrets_dir)
    return (ours, Folder(Path(systemd), flat=True)) if systemd else (ours,)


def _unreadable(path: Path, error: OSError) -> StandInUnavailable:
    return StandInUnavailable(f"{path} can't be read: {error.strerror}")
