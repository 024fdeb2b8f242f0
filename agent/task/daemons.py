"""Daemon tasks: those that serve the other tasks of a host, such as a log or metrics collector.

They are stopped last. Marked by the tag ``hostler:daemon=true`` or by a group ``daemon:NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

DAEMON_TAG = "hostler:daemon"
DAEMON_GROUP = "daemon:"


def is_daemon(group: str, tags: Iterable[Mapping[str, str]]) -> bool:
    """Whether a task of that group with these tags is one."""
    tagged = any(each["key"] == DAEMON_TAG and each["value"].lower() == "true" for each in tags)
    return tagged or group.startswith(DAEMON_GROUP)
