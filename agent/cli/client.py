"""A blocking client of the control API on its unix socket; every failure becomes a CommandError.

Each call has a connection of its own, so a call may be broken off at any moment.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.cli.errors import CommandError, NoAgent

ECS_PREFIX = "AmazonEC2ContainerServiceV20141113."

ANSWER_S = 30.0
"""Deadline for an answer: the agent's slowest is one write to its disk."""

LOAD_S = 600.0
"""Deadline for an image to be unpacked once all of it has been sent."""

CHUNK = 256 * 1024
"""Bytes of an archive that are moved at a time."""

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

    def pull_image(self, name: str) -> Generator[Answer, None, None]:
        """How far the pull has come (``pulls``), time and again, and its ``image`` in the end.

        Closing it cancels the pull. Raises CommandError.
        """
        body = json.dumps({"image": name}).encode()
        with self._asked("POST", "/images/pull", body, {}, ANSWER_S) as response:
            if response.status != http.client.OK:
                self._read(response.read(), response.status)
            for line in response:
                yield self._answered(line)

    def save_images(self, names: Iterable[str]) -> Iterator[bytes]:
        """An archive of these images. Raises CommandError."""
        query = urllib.parse.urlencode([("name", each) for each in names])
        with self._asked("GET", f"/images/save?{query}", b"", {}, LOAD_S) as response:
            if response.status != http.client.OK:
                self._read(response.read(), response.status)
            while chunk := response.read(CHUNK):
                yield chunk

    def _post(
        self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str], deadline_s: float
    ) -> Answer:
        with self._asked("POST", path, body, headers, deadline_s) as response:
            return self._read(response.read(), response.status)

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes],
        headers: dict[str, str],
        deadline_s: float,
    ) -> Iterator[http.client.HTTPResponse]:
        """The response, to be read meanwhile: what goes wrong there is told as well."""
        connection = _Connection(self._path, deadline_s)
        try:
            _send(connection, method, path, body, headers)
            yield connection.getresponse()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoAgent(
                f"no agent answers on {self._path}: start it with 'systemctl start hostler'"
                " or 'hostler agent'"
            ) from error
        except PermissionError as error:
            raise CommandError(
                f"{self._path} is not yours to use: try again as root, or as one of its group"
            ) from error
        except TimeoutError as error:
            raise NoAgent(
                f"the agent on {self._path} did not answer within {deadline_s:.0f} s"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAgent(f"the agent on {self._path} broke off: {error!r}") from error
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

    def _answered(self, line: bytes) -> Answer:
        """A line of a stream, whose status was sent before it was known."""
        answer = self._read(line, http.client.OK)
        if "__type" in answer:
            raise CommandError(f"{answer['__type']}: {answer.get('message', '')}")
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
    connection: _Connection,
    method: str,
    path: str,
    body: bytes | Iterable[bytes],
    headers: dict[str, str],
) -> None:
    connection.connect()
    with suppress(BrokenPipeError, ConnectionResetError):  # a refusal comes before all is sent
        connection.request(method, path, body, headers)
