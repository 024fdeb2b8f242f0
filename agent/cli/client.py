"""A blocking client of the control API on its unix socket; every failure becomes a CommandError.

Each call has a connection of its own, so a call may be broken off at any moment.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.cli.errors import CommandError

ECS_PREFIX = "AmazonEC2ContainerServiceV20141113."

ANSWER_S = 30.0
"""Deadline for an answer: the agent's slowest is one write to its disk."""

LOAD_S = 600.0
"""Deadline for an image to be unpacked once all of it has been sent."""

Answer = dict[str, Any]


class Client:
    """Calls the agent that listens on ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def call(self, name: str, body: Mapping[str, Any], *, wait_s: float = 0.0) -> Answer:
        """Answer of ECS's call ``name``, or of Hostler's own if it begins with ``Hostler.``.

        ``wait_s`` is how long the agent was asked to wait. Raises CommandError.
        """
        target = name if "." in name else ECS_PREFIX + name
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        return self._post("/", json.dumps(body).encode(), headers, ANSWER_S + wait_s)

    def load_image(self, archive: Iterable[bytes]) -> list[str]:
        """Names of the images in ``archive``, which the agent has now. Raises CommandError."""
        names: list[str] = self._post("/images", archive, {}, LOAD_S)["images"]
        return names

    def _post(
        self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str], deadline_s: float
    ) -> Answer:
        connection = _Connection(self._path, deadline_s)
        try:
            _send(connection, path, body, headers)
            response = connection.getresponse()
            return self._read(response.read(), response.status)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise CommandError(
                f"no agent answers on {self._path}: start it with 'systemctl start hostler'"
                " or 'hostler agent'"
            ) from error
        except PermissionError as error:
            raise CommandError(f"{self._path} is not yours to use: try again as root") from error
        except TimeoutError as error:
            raise CommandError(
                f"the agent on {self._path} did not answer within {deadline_s:.0f} s"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"the agent on {self._path} broke off: {error!r}") from error
        finally:
            connection.close()

    def _read(self, body: bytes, status: int) -> Answer:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CommandError(f"what answers on {self._path} is not an agent")
        if status != http.client.OK:
            raise CommandError(f"{answer.get('__type', status)}: {answer.get('message', '')}")
        return answer


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, deadline_s: float) -> None:
        super().__init__("localhost", timeout=deadline_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _send(
    connection: _Connection, path: str, body: bytes | Iterable[bytes], headers: dict[str, str]
) -> None:
    connection.connect()
    with suppress(BrokenPipeError, ConnectionResetError):  # a refusal comes before all is sent
        connection.request("POST", path, body, headers)
