"""Whether firewalld runs, where there is no bus to ask; with one: the system tests."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cni.firewall import firewalld


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a firewall-cmd, which says whatever it is asked that all is well."""
    command = tmp_path / "firewall-cmd"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@contextmanager
def listening(path: Path, *words: bytes) -> Iterator[None]:
    """A program that answers each line with one of the words, and then hangs up."""

    def serve() -> None:
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            for word in words:
                lines.readline()
                client.sendall(word)
            client.shutdown(socket.SHUT_WR)
            lines.read()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("address", ["unix:path={}/none", "tcp:host=127.0.0.1,port=1", "nonsense"])
def test_without_a_bus_nobody_can_ask_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address.format(tmp_path))
    assert not firewalld.runs()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("words", [(), (b"REJECTED\r\n",), (b"OK 1\r\n",)])
def test_a_bus_that_refuses_us_or_hangs_up_is_none(
    words: tuple[bytes, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    with listening(tmp_path / "bus", *words):
        assert not firewalld.runs()


def test_without_its_command_the_bus_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        listener.settimeout(0)
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
        assert not firewalld.runs()
        with pytest.raises(BlockingIOError):
            listener.accept()
