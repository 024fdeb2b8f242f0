"""What ``hostler run`` shows: steps and log lines, as text for people or as a JSON object a line.

Everything goes to standard output, a whole line at a time, so that steps and logs stay in order and
never run into each other.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

from agent.cli.output import coloured, dim
from agent.cli.pulls import TOTALS_S, Shown, drawing
from agent.cli.tasks import definition_name, task_id

_MARGIN = " " * len("12345678 ms  ")
"""Before lines that are no steps."""


class Screen(Protocol):
    """Where the story of a task goes as it happens."""

    def begin(self, task: dict[str, Any]) -> None:
        """The task was accepted."""

    def step(self, step: dict[str, Any]) -> None:
        """A step of its timeline."""

    def log(self, container: str, entry: dict[str, Any]) -> None:
        """A line, or a piece of a long one, that a container wrote."""

    def pulls(self, pulls: Shown) -> None:
        """These are the pulls that the task waits for now."""

    def end(self, task: dict[str, Any]) -> None:
        """Nothing of the task is left on the host."""

    def close(self) -> None:
        """Nobody looks any more."""


class Text:
    """For people: each step with the milliseconds since the task was accepted."""

    def __init__(self, containers: Sequence[str]) -> None:
        self._colours = {name: number for number, name in enumerate(containers)}
        self._width = max(map(len, containers))
        self._began = 0.0
        self._drawing = drawing(indent=len(_MARGIN) + self._width + 2)

    def begin(self, task: dict[str, Any]) -> None:
        self._began = task["createdAt"]
        name = definition_name(task["taskDefinitionArn"])
        self._print(f"task {task_id(task['taskArn'])} of {name}")

    def step(self, step: dict[str, Any]) -> None:
        if step["what"] == "layer" and self._drawing.told(step["detail"].partition(" ")[0]):
            return
        ms = (step["at"] - self._began) * 1000
        took = "" if step["took_s"] is None else dim(f"(took {step['took_s'] * 1000:.1f} ms)")
        said = f"{step['what']:<10}  {step['detail']}".rstrip()
        self._print(f"{ms:>8.0f} ms  {self._name(step['container'])}  {said}  {took}".rstrip())

    def log(self, container: str, entry: dict[str, Any]) -> None:
        text = entry["text"].removesuffix("\n")
        self._print(f"{_MARGIN}{self._name(container)}  {dim('|')} {text}")

    def pulls(self, pulls: Shown) -> None:
        self._drawing.show(pulls)

    def close(self) -> None:
        self._drawing.close()

    def end(self, task: dict[str, Any]) -> None:
        for each in task["containers"]:
            if "reason" in each:
                self._print(f"{self._name(each['name'])}: {each['reason']}")
        self._print(f"{task.get('stopCode', 'stopped')}: {task.get('stoppedReason', '')}")

    def _name(self, container: str) -> str:
        padded = container.ljust(self._width)
        return coloured(padded, self._colours[container]) if container else padded

    def _print(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class JsonLines:
    """For programs: objects with one of the keys ``task``, ``step``, ``log``, ``pulls``.

    The last come once a second at most, while there are any.
    """

    def __init__(self) -> None:
        self._pulls_at = -TOTALS_S

    def begin(self, task: dict[str, Any]) -> None:
        self._print("task", task)

    def step(self, step: dict[str, Any]) -> None:
        self._print("step", step)

    def log(self, container: str, entry: dict[str, Any]) -> None:
        self._print("log", {"container": container, **entry})

    def pulls(self, pulls: Shown) -> None:
        now = time.monotonic()
        if pulls and now >= self._pulls_at + TOTALS_S:
            self._pulls_at = now
            self._print("pulls", pulls)

    def end(self, task: dict[str, Any]) -> None:
        self._print("task", task)

    def close(self) -> None:
        """Lines stay."""

    def _print(self, key: str, value: Any) -> None:
        sys.stdout.write(json.dumps({key: value}) + "\n")
        sys.stdout.flush()
