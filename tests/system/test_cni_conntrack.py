"""UDP clients that never stop sending: each reaches the container that has the port now."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from cni.portmap import conntrack
from cni.portmap.mappings import PortMapping, Protocol
from cni.portmap.ports import PublishedPort
from tests.system import portlab
from tests.system.portlab import HOST, OUTSIDE, PATIENCE_S, SECOND, Address, Lab

versions = pytest.mark.parametrize("version", [4, 6])
WANTED = PortMapping(53, 5300, Protocol.UDP)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


@contextlib.contextmanager
def client(lab: Lab, to: tuple[Address, int]) -> Iterator[socket.socket]:
    """A client that is one connection to the kernel, having sent already what nobody took."""
    with lab.connect(lab.outside, Protocol.UDP, to, portlab.DEADLINE_S) as sock:
        sock.send(b"early")
        with contextlib.suppress(ConnectionRefusedError):  # the host says that nobody is there
            sock.send(b"early")
        yield sock


def send(sock: socket.socket, text: bytes) -> None:
    """Send, though the answer to what was sent before may have been a refusal."""
    try:
        sock.send(text)
    except ConnectionRefusedError:
        sock.send(text)


def connections(lab: Lab) -> str:
    return lab.run(lab.host, "conntrack -L -p udp")


@versions
def test_a_client_that_sent_before_the_port_was_published_reaches_the_container(
    lab: Lab, version: int
) -> None:
    args = lab.container("dns")
    with (
        lab.listen(args.netns, Protocol.UDP, 53) as listener,
        client(lab, (HOST[version], 5300)) as sock,
    ):
        lab.publish(args, WANTED)
        send(sock, b"late")
        text, peer = listener.recvfrom(10)
    assert (text, portlab.seen(peer)) == (b"late", OUTSIDE[version])


@versions
@pytest.mark.parametrize("host_ip", [None, SECOND])
def test_a_client_follows_the_port_to_another_container(
    lab: Lab, version: int, host_ip: dict[int, Address] | None
) -> None:
    old, new = lab.container("old"), lab.container("new")
    at = SECOND[version]
    mapping = PortMapping(53, 5300, Protocol.UDP, host_ip=host_ip[version] if host_ip else None)
    with (
        lab.listen(old.netns, Protocol.UDP, 53) as before,
        lab.listen(new.netns, Protocol.UDP, 53) as after,
    ):
        lab.publish(old, mapping)
        with lab.connect(lab.outside, Protocol.UDP, (at, 5300), portlab.DEADLINE_S) as sock:
            sock.send(b"one")
            assert before.recv(10) == b"one"
            lab.withdraw(old)
            lab.publish(new, mapping)
            sock.send(b"two")
            assert after.recv(10) == b"two"


def test_without_it_such_a_client_would_not_arrive(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conntrack, "forget_strays", lambda *_: 0)
    args = lab.container("dns")
    with (
        lab.listen(args.netns, Protocol.UDP, 53) as listener,
        client(lab, (HOST[4], 5300)) as sock,
    ):
        lab.publish(args, WANTED)
        listener.settimeout(PATIENCE_S)
        send(sock, b"late")
        with pytest.raises(TimeoutError):
            listener.recv(10)


def test_connections_through_the_host_and_those_that_lead_right_stay(lab: Lab) -> None:
    args = lab.container("dns")
    lab.publish(args, WANTED)
    with (
        lab.listen(lab.outside, Protocol.UDP, 5300) as far,
        lab.listen(args.netns, Protocol.UDP, 53) as near,
    ):
        assert lab.talk(args.netns, (OUTSIDE[4], 5300), far) in (HOST[4], SECOND[4])
        assert lab.talk(lab.outside, (HOST[4], 5300), near) == OUTSIDE[4]
        before = connections(lab).count("udp")
        lab.publish(args, WANTED, PortMapping(54, 5301, Protocol.UDP))
        assert connections(lab).count("udp") == before


def test_old_kernels_that_list_all_connections_are_filtered_here(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the filter in the question the answer holds everything, as before Linux 5.8."""
    monkeypatch.setattr(conntrack, "_FILTER", 99)
    args = lab.container("dns")
    with (
        lab.listen(lab.host, Protocol.TCP, 5300) as tcp,
        lab.listen(args.netns, Protocol.UDP, 53) as listener,
        client(lab, (HOST[4], 5300)) as sock,
        client(lab, (HOST[4], 5999)),
    ):
        lab.talk(lab.outside, (HOST[4], 5300), tcp)
        port = PublishedPort(Protocol.UDP, 5300, ip_address("10.210.0.2"), 53, "x")
        forget = partial(conntrack.forget_strays, lab.context.firewall, [port])
        assert lab.on_host(forget) == 1
        lab.publish(args, WANTED)
        send(sock, b"late")
        assert listener.recv(10) == b"late"
    assert "dport=5999" in connections(lab)
