"""The host as checks look at it: its files, its programs, and the settings of an agent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.host.checkup.programs import Run, run
from agent.settings import Settings

_CONTAINER_MARKS = ("/run/systemd/container", "/run/.containerenv")
"""What systemd (nspawn and others) and podman put there. Docker's is in images of machines too."""


@dataclass(frozen=True, slots=True)
class Subject:
    """``root`` is where its files are; ``run`` runs its programs."""

    settings: Settings
    root: Path = Path("/")
    run: Run = run

    def path(self, name: str | Path) -> Path:
        """The file of this absolute name."""
        return self.root / str(name).lstrip("/")

    def exists(self, name: str | Path) -> bool:
        """Whether it is there, as far as can be told: what is hidden from us counts as there."""
        try:
            self.path(name).stat()
        except PermissionError:
            return True
        except OSError:
            return False
        return True

    def text(self, name: str | Path) -> str | None:
        """What a small file holds, without space around it; None if it is not there.

        Raises OSError.
        """
        try:
            return self.path(name).read_text(errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def words(self, name: str | Path) -> list[str]:
        """Its words; none if it is not there. Raises OSError."""
        return (self.text(name) or "").split()

    def number(self, name: str | Path) -> int | None:
        """The number in it; None if it is not there, or holds something else. Raises OSError."""
        text = self.text(name) or ""
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def in_container(self) -> bool:
        """Whether this host is a container of another, which has the kernel and the clock."""
        return any(self.path(each).exists() for each in _CONTAINER_MARKS)
