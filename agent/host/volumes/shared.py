"""Shared volumes: directories that outlive tasks, each with a record of how it was made.

    <state>/shared-volumes/<name>/volume.json    driver, options, labels, when
    <state>/shared-volumes/<name>/data           what containers see; file systems are mounted here

A volume appears and vanishes whole, by a rename. The agent never removes one by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from agent.host.volumes import mountpoints, trees
from agent.host.volumes.errors import VolumeError
from agent.host.volumes.requests import MountRequest, of_driver

_RECORD = "volume.json"


class _Stored(BaseModel):
    """``volume.json``."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid")

    driver: str = "local"
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    created_at: float


@dataclass(frozen=True, slots=True)
class SharedVolume:
    """One of them. ``created_at`` is in seconds since 1970."""

    name: str
    created_at: float
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    driver: str = "local"

    @property
    def request(self) -> MountRequest | None:
        """What is mounted while somebody uses it; None for a plain directory."""
        return of_driver(self.options)


class SharedVolumes:
    """Those below ``folder``. All methods block and raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """What containers see of it."""
        return self._folder / name / "data"

    def mark(self, name: str) -> Path:
        """The file that says that it is being filled."""
        return self._folder / name / "filling"

    def find(self, name: str) -> SharedVolume | None:
        """The volume, None if there is none. Raises VolumeError if its record can't be read."""
        record = self._folder / name / _RECORD
        try:
            stored = _Stored.model_validate_json(record.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise VolumeError(
                f"shared volume {name}: {record} can't be read; mend it, or move the directory away"
            ) from error
        return SharedVolume(
            name, stored.created_at, stored.driver_opts, stored.labels, stored.driver
        )

    def names(self) -> tuple[str, ...]:
        """The names of all, sorted."""
        try:
            found = [each.name for each in self._folder.iterdir()]
        except FileNotFoundError:
            return ()
        return tuple(sorted(each for each in found if not each.startswith(".")))

    def create(self, volume: SharedVolume) -> None:
        """There is a volume of that name; this one, if there was none."""
        draft = self._folder / f".{os.urandom(8).hex()}"
        (draft / "data").mkdir(parents=True)
        for each in (draft, draft / "data"):
            each.chmod(0o755)  # whatever the umask: programs of any user go through
        stored = _Stored(
            driver=volume.driver,
            driver_opts=dict(volume.options),
            labels=dict(volume.labels),
            created_at=volume.created_at,
        )
        with (draft / _RECORD).open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)  # options may hold a password
            file.write(stored.model_dump_json(by_alias=True, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            draft.rename(self._folder / volume.name)
        except OSError:
            trees.remove(draft)
            if self.find(volume.name) is None:
                raise

    def sweep(self) -> None:
        """What a crash has left half made or half removed is gone. Only before anything else."""
        trees.sweep(self._folder)

    def remove(self, name: str) -> None:
        """It is gone with all its data. What is or was mounted there keeps its own."""
        mountpoints.detach(self.path(name))
        away = self._folder / f".{os.urandom(8).hex()}"
        (self._folder / name).rename(away)
        trees.remove(away)
