"""sd_notify(3) as a datagram, silence where nobody listens, and sockets that are kept."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.service import notify
from tests.fakes.servicemanager import ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_the_state_arrives_as_one_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"@hostler-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify.notify("READY=1\nSTATUS=here")
        assert listening.recv(100) == b"READY=1\nSTATUS=here"


def test_nobody_listening_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify.notify("READY=1")


def test_a_listener_that_does_not_read_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(5000):
            notify.notify("WATCHDOG=1")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    address = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    started = ServiceManager(address)
    yield started
    started.close()


def test_a_socket_is_kept_under_its_name_until_that_is_removed(manager: ServiceManager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as kept:
        address = kept.getsockname()
        notify.store("one", kept)
        notify.store("one", kept)
        notify.store("two", kept)
        manager.until("FDNAME=two", 1)
        assert manager.names == ["one", "one", "two"]
    with socket.create_connection(address):
        pass
    notify.remove_stored("one")
    assert manager.names == ["two"]
    notify.remove_stored("two")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_who_keeps_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify.asked()
    with socket.socket() as kept, pytest.raises(FileNotFoundError):
        notify.store("one", kept)
    with pytest.raises(FileNotFoundError):
        notify.remove_stored("one")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify.asked()


def test_a_manager_that_does_not_read_is_waited_for_so_long_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "DEADLINE_S", 0.05)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening, socket.socket() as kept:
        listening.bind(str(tmp_path / "notify"))
        with pytest.raises(TimeoutError, match="the service manager is busy"):
            notify.remove_stored("one")
        for _ in range(5000):
            notify.notify("WATCHDOG=1")
        with pytest.raises(TimeoutError):
            notify.store("one", kept)
