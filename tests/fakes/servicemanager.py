"""A service manager as far as systemd's file descriptor store goes (sd_notify(3))."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

ABOVE_ALL = 200
"""Descriptors from here on are moved nowhere before they are passed on."""

_SETTLED = "X_SETTLED=1"


class ServiceManager:
    """What a service manager was told and given, by a thread that reads until ``close``."""

    def __init__(self, address: Path) -> None:
        self.told: list[str] = []
        self.held: dict[str, list[int]] = {}
        self._address = str(address)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listening.bind(self._address)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def names(self) -> list[str]:
        """The name of each descriptor that is held."""
        with self._changed:
            return [name for name, held in self.held.items() for _ in held]

    def count(self, state: str) -> int:
        """How often it was told so."""
        return self.told.count(state)

    def until(self, state: str, count: int, deadline_s: float = 60.0) -> None:
        """It was told so that often."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(state) >= count, deadline_s), state

    def settle(self) -> None:
        """It has read what was sent before this."""
        before = self.count(_SETTLED)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(_SETTLED.encode(), self._address)
        self.until(_SETTLED, before + 1)

    def close(self) -> None:
        """The thread has ended and nothing is held."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listening.close()
        for name in list(self.held):
            self._drop(name)

    def _read(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._listening, 4096, 8)
            if not message:
                return
            lines = message.decode().splitlines()
            name = next((each[7:] for each in lines if each.startswith("FDNAME=")), "stored")
            with self._changed:
                if "FDSTORE=1" in lines:
                    self.held.setdefault(name, []).extend(map(_moved, descriptors))
                if "FDSTOREREMOVE=1" in lines:
                    self._drop(name)
                for each in descriptors:
                    os.close(each)
                self.told += lines
                self._changed.notify_all()

    def _drop(self, name: str) -> None:
        for each in self.held.pop(name, ()):
            os.close(each)


def _moved(descriptor: int) -> int:
    """A duplicate above all that it may have to be moved to."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, ABOVE_ALL)
