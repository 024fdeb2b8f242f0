"""systemd's private socket as far as slices go: answers calls, and says when jobs are done."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, Parser, new_signal
from jeepney.wrappers import new_error, new_method_return

_MANAGER = DBusAddress("/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager")


@dataclass
class SystemdBus:
    """``refusals`` are errors by method: name and text. ``deaf``: it reads only when it is pinged.

    ``hangs_up``: it ends connections instead of answering. ``silent``: it never answers.
    """

    refusals: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    deaf: bool = False
    hangs_up: bool = False
    silent: bool = False
    knocks: int = 0
    """Pings, which a caller sends whenever an answer takes a while."""
    calls: list[tuple[str, Any]] = field(default_factory=list)

    @contextmanager
    def serving(self, path: Path) -> Iterator[None]:
        """Until the end, one connection after the other."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            thread = threading.Thread(target=self._accept, args=(listening,))
            thread.start()
            try:
                yield
            finally:
                listening.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            # Whoever has its answer ends the connection, though it has knocked meanwhile.
            with connection, suppress(EOFError, BrokenPipeError, ConnectionResetError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        rest = _authenticated(connection)
        if self.hangs_up:
            return
        parser, late = Parser(), list[Message]()
        messages: list[Message] = parser.feed(rest)
        while True:
            for each in messages:
                late.append(each)
                knocked = each.header.fields[HeaderFields.member] == "Ping"
                if not self.silent and (knocked or not self.deaf):
                    for message in late:
                        self._answer(connection, message)
                    late.clear()
            data = connection.recv(65536)
            if not data:
                return
            messages = parser.feed(data)

    def _answer(self, connection: socket.socket, call: Message) -> None:
        method = call.header.fields[HeaderFields.member]
        if method == "Ping":
            self.knocks += 1
        else:
            self.calls.append((method, call.body))
        if method in self.refusals:
            name, text = self.refusals[method]
            connection.sendall(new_error(call, name, "s", (text,)).serialise(1))
        elif method.endswith("Unit"):
            job = f"/org/freedesktop/systemd1/job/{len(self.calls)}"
            ended = (len(self.calls), job, call.body[0], "done")
            connection.sendall(new_method_return(call, "o", (job,)).serialise(1))
            connection.sendall(new_signal(_MANAGER, "JobRemoved", "uoss", ended).serialise(2))
        else:
            connection.sendall(new_method_return(call).serialise(1))


def _authenticated(connection: socket.socket) -> bytes:
    """What came after the authentication."""
    said = b""
    while not said.endswith(b"\r\n"):
        said += _more(connection)
    connection.sendall(b"OK " + b"0" * 32 + b"\r\n")
    said = b""
    while b"BEGIN\r\n" not in said:
        said += _more(connection)
    return said.partition(b"BEGIN\r\n")[2]


def _more(connection: socket.socket) -> bytes:
    """Raises EOFError when the other side has hung up: its patience may be short."""
    if data := connection.recv(4096):
        return data
    raise EOFError
