"""An agent's API on a unix socket that answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Body = dict[str, Any]
Answering = Callable[[Body], Body]


class Refused(Exception):
    """Raised by an answering function: the API error of this name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FakeApi(socketserver.ThreadingUnixStreamServer):
    """``answers`` has, by call, a body or a function from request to body.

    ``streams`` has, by method and path, the chunks of an answer; None breaks it off.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.path = path
        self.answers: dict[str, Body | Answering] = {}
        self.calls: list[tuple[str, Body]] = []
        self.streams: dict[str, Iterable[bytes | None]] = {}
        self.hung_up = threading.Event()
        self.loaded = b""

    def asked(self, name: str) -> list[Body]:
        """The requests of one call, in order."""
        return [body for called, body in self.calls if called == name]

    def answer(self, name: str, body: Body) -> Body:
        self.calls.append((name, body))
        found = self.answers.get(name)
        if found is None:
            raise Refused("UnknownOperationException", f"{name} is not served")
        return found(body) if callable(found) else found


@contextmanager
def serving(path: Path) -> Iterator[FakeApi]:
    """A fake API on ``path``."""
    with FakeApi(path) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeApi

    def handle(self) -> None:
        with suppress(ConnectionError):  # whoever hung up with an answer unread is no error
            super().handle()

    def do_POST(self) -> None:
        body = self._body()
        try:
            if self.path == "/images":
                self.server.loaded = body
                answer = self.server.answer("POST /images", {})
            elif self.path != "/":
                self._stream(json.loads(body))
                return
            else:
                name = self.headers["X-Amz-Target"].removeprefix(
                    "AmazonEC2ContainerServiceV20141113."
                )
                answer = self.server.answer(name, json.loads(body))
            self._send(200, answer)
        except Refused as error:
            self._send(400, {"__type": error.code, "message": str(error)})

    def do_GET(self) -> None:
        try:
            self._stream({})
        except Refused as error:
            self._send(400, {"__type": error.code, "message": str(error)})

    def _stream(self, body: Body) -> None:
        path, _, query = self.path.partition("?")
        name = f"{self.command} {path}"
        self.server.calls.append((name, {**body, **parse_qs(query)}))
        if name not in self.server.streams:
            raise Refused("InvalidParameterException", f"{name} is not there")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for each in self.server.streams[name]:
                if each is None:
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%b\r\n" % (len(each), each))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:
            self.close_connection = True
            self.server.hung_up.set()

    def _body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # whoever was interrupted has hung up
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
