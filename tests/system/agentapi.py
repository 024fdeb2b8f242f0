"""The agent API as programs in a task use it: HTTP from within the task's network namespace."""

import json
import socket
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from cni.kernel.netns import NamespaceThread
from tests.system.tasks import WAITS

METADATA: Final = "169.254.170.2"
DEADLINE_S: Final = 10.0
SAYS_WHERE: Final = f"trap 'exit 0' TERM; echo $ECS_AGENT_URI; {WAITS}"
"""A script whose first line is where its container asks the agent; it runs until SIGTERM."""


class Asker:
    """Asks from a namespace, under the addresses that its containers were told."""

    def __init__(self, threads: NamespaceThread, at: Path, *uris: str) -> None:
        self._threads = threads
        self._at = at
        self._paths = [each.strip().removeprefix(f"http://{METADATA}") for each in uris]
        self._asked: Counter[tuple[str, str]] = Counter()

    @property
    def path(self) -> str:
        """The first container's."""
        return self._paths[0]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        connection = HTTPConnection(METADATA, timeout=DEADLINE_S)
        connection.sock = self._threads.call(self._at, _connected)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text)

    def fault(self, name: str, operation: str, **body: object) -> tuple[int, Any]:
        """What comes of an operation on a fault. Containers take turns, for each has its limit."""
        turn = self._asked[name, operation] % len(self._paths)
        self._asked[name, operation] += 1
        return self.ask("POST", f"{self._paths[turn]}/fault/v1/{name}/{operation}", body)

    def is_heard(self) -> bool:
        """Whether anybody listens: a new agent takes a moment."""
        try:
            return self.told_who_it_is()
        except ConnectionRefusedError:
            return False

    def told_who_it_is(self) -> bool:
        """Whether the task's metadata can be reached."""
        status, task = self.ask("GET", f"{self.path.replace('/api/', '/v4/')}/task")
        return status == 200 and bool(task["TaskARN"])


def _connected() -> socket.socket:
    return socket.create_connection((METADATA, 80), DEADLINE_S)
