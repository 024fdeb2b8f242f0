"""What ``hostler drain`` shows: a line for each task that is told to stop or is gone, and a bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.cli.output import age
from agent.cli.ps import SHOWN_ID
from agent.cli.tasks import task_id

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class DrainScreen:
    """Lines on standard output."""

    def __init__(self) -> None:
        self._spared: set[str] = set()

    def stopping(self, arn: str, definition: str) -> None:
        """The task was told to stop."""
        self._say(f"stopping task {_short(arn)} ({definition})")

    def gone(self, arn: str) -> None:
        """Nothing of the task is left."""
        self._say(f"task {_short(arn)} is gone")

    def protected(self, arn: str, until: float) -> None:
        """The task is waited for; told once."""
        if arn not in self._spared:
            left = age(until - time.time())
            self._say(
                f"task {_short(arn)} is protected for {left} more: waiting for it;"
                " --force stops it too"
            )
        self._spared.add(arn)

    def counts(self, gone: int, left: int) -> None:
        """So many have come to their end, and so many are yet to."""

    def end(self, text: str) -> None:
        """The last word."""
        self._say(text)

    def close(self) -> None:
        """Only lines stay."""

    def _say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Bar(DrainScreen):
    """The same with a bar below; for a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress = _progress()
        self._bar: TaskID = self._progress.add_task("draining", total=None)
        self._progress.start()

    def counts(self, gone: int, left: int) -> None:
        self._progress.update(self._bar, completed=gone, total=gone + left)
        self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()


class Silence(DrainScreen):
    """Nothing; for programs, which read the JSON in the end."""

    def _say(self, text: str) -> None:
        pass


@contextmanager
def drain_screen(*, quiet: bool) -> Iterator[DrainScreen]:
    """What suits standard output, until left."""
    terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    screen = Silence() if quiet else Bar() if terminal else DrainScreen()
    try:
        yield screen
    finally:
        screen.close()


def _short(arn: str) -> str:
    return task_id(arn)[:SHOWN_ID]


def _progress() -> Progress:
    """Drawn when it is told to: there is no thread that draws meanwhile. Rich loads slowly."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tasks gone"),
        auto_refresh=False,
        transient=True,
    )
