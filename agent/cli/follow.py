"""Following a task from acceptance until nothing of it is left, and its exit code.

The timeline is waited for (``Hostler.WatchTask`` answers when there are steps); logs are asked for
whenever that returns, so a quiet task is asked less and less often, twice a second in the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.cli.client import Client
from agent.cli.entries import LogReader
from agent.cli.interrupts import Interrupts
from agent.cli.screen import Screen

SHORTEST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5

NO_EXIT_CODE = 1
"""Exit code for a task none of whose essential containers came to an exit of its own."""

LEFT = 130
"""Exit code when the user left before the end, as shells report a SIGINT."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The task to follow. Logs are shown of the containers in ``logs``."""

    arn: str
    essential: frozenset[str]
    logs: tuple[str, ...]


def follow(client: Client, task: Followed, screen: Screen, interrupts: Interrupts) -> int:
    """Shows the task's steps and logs until it is closed; gives its exit code.

    That is the code of the essential container that ended first, which is the one that ended the
    task; ``NO_EXIT_CODE`` if that one never ran. The first SIGINT, SIGTERM or SIGHUP stops the
    task gracefully, the second kills it, the third gives ``LEFT`` at once.
    """
    readers = [LogReader(client, task.arn, each) for each in task.logs]
    steps: list[dict[str, Any]] = []
    wait_s, closed, shown = SHORTEST_WAIT_S, False, {}
    while not closed:
        if _interrupted(client, task.arn, interrupts):
            return LEFT
        asked = {"task": task.arn, "since": len(steps), "waitSeconds": wait_s}
        answer = interrupts.wait(lambda: client.call("Hostler.WatchTask", asked))  # noqa: B023
        if answer is None:
            continue
        closed, shown = answer["closed"], answer["task"]
        steps += answer["steps"]
        screen.pulls(answer["pulls"])
        news = _show(answer["steps"], readers, screen)
        wait_s = SHORTEST_WAIT_S if news else min(wait_s * 2, LONGEST_WAIT_S)
    screen.end(shown)
    return exit_code(shown, steps, task.essential)


def exit_code(
    task: dict[str, Any], steps: Iterable[dict[str, Any]], essential: frozenset[str]
) -> int:
    """Exit code of the essential container that ended first, or ``NO_EXIT_CODE``."""
    ends = [each for each in steps if each["what"] in ("exited", "gave up")]
    first = next((each for each in ends if each["container"] in essential), None)
    if first is None or first["what"] == "gave up":
        return NO_EXIT_CODE
    codes = {each["name"]: each.get("exitCode", NO_EXIT_CODE) for each in task["containers"]}
    return int(codes[first["container"]])


def _interrupted(client: Client, arn: str, interrupts: Interrupts) -> bool:
    """Acts on the signals that came; whether the user wants to leave."""
    while number := interrupts.take():
        if number == 1:
            client.call("StopTask", {"task": arn})
            _say("stopping the task; once more to kill it")
        elif number == 2:
            client.call("StopTask", {"task": arn, "force": True})
            _say("killing the task; once more to leave it alone")
        else:
            return True
    return False


def _say(text: str) -> None:
    print(f"hostler: {text}", file=sys.stderr, flush=True)


def _show(steps: list[dict[str, Any]], readers: list[LogReader], screen: Screen) -> bool:
    """Shows steps and new log lines in the order of their times; whether there were any."""
    found: list[tuple[float, str, dict[str, Any]]] = [
        (_seconds(entry["time"]), reader.container, entry)
        for reader in readers
        for entry in reader.read()
    ]
    found += [(each["at"], "", each) for each in steps]
    found.sort(key=lambda each: each[0])
    for _, container, each in found:
        if container:
            screen.log(container, each)
        else:
            screen.step(each)
    return bool(found)


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()
