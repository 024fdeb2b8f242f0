"""The agent API as programs in a task use it: HTTP from within the task's network namespace."""

import json
import socket
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from cni.kernel.netns import NamespaceThread
from tests.system.tasks import SERVES

METADATA: Final = "169.254.170.2"
DEADLINE_S: Final = 10.0
SAYS_WHERE: Final = f"echo $ECS_AGENT_URI; {SERVES}"
"""A script whose first line is where its container asks the agent; it runs until SIGTERM."""

ANY: Final = "0.0.0.0"


class Asker:
    """Asks from a namespace, under the address that a container was told."""

    def __init__(self, threads: NamespaceThread, at: Path, uri: str) -> None:
        self._threads = threads
        self._at = at
        self.path = uri.strip().removeprefix(f"http://{METADATA}")
        self._clients = 1

    def ask(
        self, method: str, path: str, body: object = None, *, source: str = ANY
    ) -> tuple[int, Any]:
        """Status and JSON of the answer, from this source address; `path` is below the URI."""
        connection = HTTPConnection(METADATA, timeout=DEADLINE_S)
        connection.sock = self._threads.call(self._at, partial(_connected, source))
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text)

    def fault(self, name: str, operation: str, **body: object) -> tuple[int, Any]:
        """What comes of an operation on a fault. Each call is another client's, for the limit."""
        self._clients += 1
        path = f"{self.path}/fault/v1/{name}/{operation}"
        return self.ask("POST", path, body, source=f"127.0.1.{self._clients}")

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


def _connected(source: str) -> socket.socket:
    return socket.create_connection((METADATA, 80), DEADLINE_S, (source, 0))
