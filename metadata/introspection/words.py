"""Statuses as the ECS API says them, from the agent's internal words.

Pure. Task metadata shows the internal words, introspection and metrics show these. Sources: the
introspection API of the ECS agent; `lastStatus` of ECS's DescribeTasks.
"""

from typing import Final

from metadata.source import TaskFacts

PENDING: Final = "PENDING"
RUNNING: Final = "RUNNING"
STOPPING: Final = "STOPPING"
STOPPED: Final = "STOPPED"

WORDS: Final = (PENDING, RUNNING, STOPPED)
LAST_WORDS: Final = (PENDING, RUNNING, STOPPING, STOPPED)


def backend(internal: str) -> str:
    """One of `WORDS`: everything before RUNNING is PENDING."""
    return internal if internal in (RUNNING, STOPPED) else PENDING


def shown_desired(desired: str, known: str) -> str | None:
    """The backend word of a desired status, None where it would contradict the known one.

    A task that stopped by itself wants to run as long as nobody has decided otherwise, and one
    that runs may have been wanted so only a moment ago.
    """
    wanted, is_now = backend(desired), backend(known)
    if desired == "" or (is_now == STOPPED != wanted) or (is_now == RUNNING and wanted == PENDING):
        return None
    return wanted


def last_status(task: TaskFacts) -> str:
    """One of `LAST_WORDS`: what DescribeTasks shows as `lastStatus`."""
    known = backend(task.known_status)
    if known != STOPPED and backend(task.desired_status) == STOPPED:
        return STOPPING
    return known
