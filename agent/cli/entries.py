"""Log lines of containers, read through the API, for ``logs`` and ``follow``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.cli.client import Answer, Client


class LogReader:
    """Reads one container's log on and on. ``asked`` (GetLogs) says where to begin."""

    def __init__(self, client: Client, task: str, container: str, **asked: Any) -> None:
        self._client = client
        self._asked = {"task": task, "container": container, **asked}
        self.container = container

    def read(self) -> Iterator[Answer]:
        """The entries until there are no more for now."""
        while True:
            answer = self._client.call("Hostler.GetLogs", self._asked)
            yield from answer["entries"]
            if answer["cursor"] == self._asked.get("cursor", ""):
                return
            self._asked["cursor"] = answer["cursor"]
