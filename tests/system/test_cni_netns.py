"""Namespaces, the thread that hops between them, and what it makes there."""

import ctypes
import socket
import threading
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from cni.kernel import loopback, netns, routes, rtnetlink, sysctl
from cni.kernel.loopback import METADATA_ADDRESS as METADATA
from cni.kernel.netlink import NetlinkError
from cni.kernel.netns import NamespaceThread
from cni.portmap.mappings import Protocol
from cni.spec import Route
from tests.system import netlab


def inode() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def mounts(path: Path) -> int:
    return Path("/proc/self/mountinfo").read_text().count(str(path))


def test_create_is_repeatable_and_keeps_the_namespace(thread: NamespaceThread, path: Path) -> None:
    before = path.stat().st_ino
    thread.create(path)

    assert netns.exists(path)
    assert path.stat().st_ino == before != inode()
    assert mounts(path) == 1


def test_create_pins_over_the_file_that_a_crash_left(
    thread: NamespaceThread, tmp_path: Path
) -> None:
    path = tmp_path / "left"
    path.touch()
    assert not netns.exists(path)

    thread.create(path)

    assert netns.exists(path)
    netns.remove(path)


def test_remove_unpins_and_is_repeatable(path: Path) -> None:
    netns.remove(path)
    netns.remove(path)

    assert not path.exists()
    assert mounts(path) == 0


def test_the_thread_comes_home_after_work_that_fails(thread: NamespaceThread, path: Path) -> None:
    assert thread.call(path, inode) == path.stat().st_ino
    with pytest.raises(ZeroDivisionError):
        thread.call(path, lambda: 1 // 0)

    assert thread.call(None, inode) == inode()


def test_a_missing_namespace_is_an_error_of_the_one_who_asks(
    thread: NamespaceThread, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        thread.call(tmp_path / "absent", inode)

    assert thread.call(None, inode) == inode()


def test_a_thread_that_cannot_come_home_is_replaced(thread: NamespaceThread, path: Path) -> None:
    home = inode()
    lost = thread.call(None, threading.current_thread)

    # Without CAP_SYS_ADMIN, which is a thread's own, the way back is closed.
    assert thread.call(path, drop_capabilities) == 0

    assert thread.call(None, inode) == home
    assert thread.call(path, inode) == path.stat().st_ino
    assert thread.call(None, threading.current_thread) is not lost


def drop_capabilities() -> int:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    return int(ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()))


def test_a_listener_inside_serves_the_metadata_address(thread: NamespaceThread, path: Path) -> None:
    with thread.call(path, partial(loopback.listen, METADATA, 80)) as listener:
        assert not listener.get_inheritable()
        assert not listener.getblocking()
        dial = partial(netlab.connected, Protocol.TCP, (METADATA, 80))
        with thread.call(path, dial) as client:
            served, peer = accepted(listener)
            with served:
                served.sendall(b"{}")
            assert client.recv(2) == b"{}"
            assert peer[0] == str(METADATA)


def accepted(listener: socket.socket) -> tuple[socket.socket, Any]:
    """The connection that a client has made; one that does not block may hear of it later."""
    listener.settimeout(netlab.DEADLINE_S)
    return listener.accept()


def test_a_listener_can_be_opened_again_after_an_upgrade(
    thread: NamespaceThread, path: Path
) -> None:
    listen = partial(loopback.listen, METADATA, 80)
    dial = partial(netlab.connected, Protocol.TCP, (METADATA, 80))
    with thread.call(path, listen) as former, thread.call(path, dial):
        served, _ = accepted(former)
        served.close()  # the side that closes first stays in TIME_WAIT

    with thread.call(path, listen) as again:
        assert again.getsockname() == (str(METADATA), 80)


def test_two_listeners_on_one_address_are_an_error_and_leak_nothing(
    thread: NamespaceThread, path: Path
) -> None:
    with (
        thread.call(path, partial(loopback.listen, METADATA, 80)),
        pytest.raises(OSError, match="in use"),
    ):
        thread.call(path, partial(loopback.listen, METADATA, 80))


def test_a_sysctl_is_of_the_namespace(thread: NamespaceThread, path: Path) -> None:
    name = "ipv4/ip_unprivileged_port_start"
    before = sysctl.read(name)

    thread.call(path, partial(sysctl.ensure, name, "7"))

    assert thread.call(path, partial(sysctl.read, name)) == "7"
    assert sysctl.read(name) == before


def test_a_refusal_names_the_request_and_the_kernels_reason(
    thread: NamespaceThread, path: Path
) -> None:
    with thread.call(path, rtnetlink.open_socket) as links:
        links.execute([rtnetlink.link_up("lo")])
        requests = [
            routes.new_address(1, IPv4Interface("10.0.0.1/24")),
            routes.new_route(1, Route(IPv4Network("0.0.0.0/0"), IPv4Address("192.0.2.1"))),
            routes.new_address(1, IPv4Interface("10.0.1.1/24")),
        ]
        with pytest.raises(NetlinkError, match=r"via 192\.0\.2\.1.*gateway") as caught:
            links.execute(requests)

        assert caught.value.position == 1
        found = {str(one) for one in routes.get_addresses(links, 1)}
        assert {"10.0.0.1/24", "10.0.1.1/24"} < found  # those around it were carried out


def test_an_open_socket_keeps_the_namespace_working_after_its_removal(
    thread: NamespaceThread, path: Path
) -> None:
    with thread.call(path, rtnetlink.open_socket) as links:
        netns.remove(path)
        assert rtnetlink.get_link(links, "lo") is not None
        assert rtnetlink.get_link(links, "eth7") is None
    assert socket.if_nametoindex("lo") == 1


def test_what_is_made_in_a_namespace_of_its_own_is_gone_with_it() -> None:
    def inside() -> list[tuple[int, str]]:
        with rtnetlink.open_socket() as links:
            links.execute([rtnetlink.new_bridge("htgone", "02:00:00:00:00:09", 1500)])
        return socket.if_nameindex()

    assert "htgone" in [name for _, name in netns.in_new(inside)]
    assert "htgone" not in [name for _, name in socket.if_nameindex()]  # others come and go


def test_what_goes_wrong_in_a_namespace_of_its_own_is_told() -> None:
    def inside() -> None:
        raise OSError("it is raining")

    with pytest.raises(OSError, match="raining"):
        netns.in_new(inside)
