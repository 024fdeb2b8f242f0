"""Which sockets are held and found again, and what a service manager keeps of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.network.socketstore import SocketStore
from agent.service.handover import Named
from cni.kernel import netns
from tests.fakes.servicemanager import ServiceManager

KEY, OTHER = "a" * 64, "b" * 64
NAME = "a" * 20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="asking for a namespace takes root")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    started = ServiceManager(tmp_path / "notify")
    yield started
    started.close()


@pytest.fixture
def store() -> Iterator[SocketStore]:
    made = SocketStore()
    yield made
    made.close()


def finds(store: SocketStore, key: str, path: Path | None, address: tuple[str, int]) -> bool:
    found = store.find(key, path, address)
    if found is None:
        return False
    with found:
        assert found.getsockname() == address
        assert found.gettimeout() == 0
    return True


async def test_a_socket_that_is_kept_is_found_until_it_is_dropped(
    store: SocketStore, listening: socket.socket
) -> None:
    listening.settimeout(0)
    address = listening.getsockname()
    assert not finds(store, KEY, None, address)
    await store.keep(KEY, listening)
    listening.close()
    assert finds(store, KEY, None, address)
    assert not finds(store, OTHER, None, address)
    assert [each.name for each in store.held] == [NAME]
    await store.drop(KEY)
    await store.drop(KEY)
    assert not finds(store, KEY, None, address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_a_sandbox_may_have_several(store: SocketStore, listening: socket.socket) -> None:
    listening.settimeout(0)
    with socket.create_server(("127.0.0.1", 0)) as second:
        second.settimeout(0)
        for each in (listening, second):
            await store.keep(KEY, each)
        for each in (listening, second):
            assert finds(store, KEY, None, each.getsockname())
        await store.drop(KEY)
        assert store.held == []


async def test_another_namespaces_socket_is_not_found(
    store: SocketStore, listening: socket.socket, tmp_path: Path
) -> None:
    thread = netns.NamespaceThread()
    path = tmp_path / "netns"
    thread.create(path)
    try:
        await store.keep(KEY, listening)
        address = listening.getsockname()
        assert store.find(KEY, path, address) is None
        assert store.find(KEY, tmp_path / "gone", address) is None
        inside = thread.call(path, socket.socket)
        with inside:
            assert netns.holds(path, inside)
            assert not netns.holds(None, inside)
        assert netns.holds(None, listening)
    finally:
        netns.remove(path)
        thread.stop()


async def test_only_a_tcp_socket_that_listens_there_is_found(
    store: SocketStore, listening: socket.socket
) -> None:
    host, port = listening.getsockname()
    await store.keep(KEY, listening)
    assert store.find(KEY, None, (host, port + 1)) is None
    with socket.socket() as idle, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        for each in (idle, datagrams):
            each.bind((host, 0))
            await store.keep(OTHER, each)
            assert store.find(OTHER, None, each.getsockname()) is None
    with socket.socket(socket.AF_UNIX) as local:
        await store.keep("c", local)
        assert store.find("c", None, (host, port)) is None


async def test_what_was_inherited_is_found_and_all_else_is_dropped(
    listening: socket.socket, manager: ServiceManager
) -> None:
    address = listening.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as second:
        gone = second.getsockname()
        inherited = [Named(NAME, listening.dup()), Named("stored", second.dup())]
        inherited[0].socket.settimeout(0)
    store = SocketStore(inherited)
    await store.drop_all_but([KEY])
    assert finds(store, KEY, None, address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(gone)
    manager.until("FDSTOREREMOVE=1", 1)
    assert "FDNAME=stored" in manager.told
    assert f"FDNAME={NAME}" not in manager.told
    await store.drop_all_but([])
    assert store.held == []


async def test_a_service_manager_keeps_each_and_drops_it_before_we_go_on(
    store: SocketStore, listening: socket.socket, manager: ServiceManager
) -> None:
    await store.keep(KEY, listening)
    manager.until("FDSTORE=1", 1)
    assert manager.names == [NAME]
    await store.drop(OTHER)
    await store.drop(KEY)
    assert manager.names == []
    assert manager.count("FDSTOREREMOVE=1") == 1, "nothing is said of what was never kept"


async def test_one_that_nobody_keeps_is_held_all_the_same(
    store: SocketStore, listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    listening.settimeout(0)
    await store.keep(KEY, listening)
    assert finds(store, KEY, None, listening.getsockname())
    await store.drop(KEY)
    assert store.held == []
