"""A listener behind a well-known port, in a namespace where that port is somebody else's."""

import socket
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cni.kernel import nfnetlink, portshare
from cni.kernel.loopback import METADATA_ADDRESS
from cni.kernel.netns import NamespaceThread

DEADLINE_S = 10.0
BEHIND = 51679


def listen(address: str, port: int) -> socket.socket:
    return socket.create_server((address, port))


def said_at(address: IPv4Address | str, port: int, listener: socket.socket, size: int) -> bytes:
    """What a client reads at an address when ``listener`` answers its next connection."""
    with socket.create_connection((str(address), port), DEADLINE_S) as client:
        listener.settimeout(DEADLINE_S)
        served, _ = listener.accept()
        with served:
            served.sendall(b"x" * size)
        read = b""
        while data := client.recv(65536):
            read += data
    return read


def test_the_well_known_port_answers_while_a_program_listens_on_it_everywhere(
    thread: NamespaceThread, path: Path
) -> None:
    def both() -> tuple[bytes, bytes]:
        with (
            portshare.listen(METADATA_ADDRESS, 80, BEHIND, "share") as ours,
            listen("0.0.0.0", 80) as theirs,
        ):
            return (
                said_at(METADATA_ADDRESS, 80, ours, 1_000_00),
                said_at("127.0.0.1", 80, theirs, 3),
            )

    metadata, web = thread.call(path, both)

    assert len(metadata) == 1_000_00
    assert web == b"xxx"


def test_what_a_listener_needs_is_put_back(thread: NamespaceThread, path: Path) -> None:
    def flushed() -> bytes:
        share = METADATA_ADDRESS, 80, BEHIND, "share"
        with portshare.listen(*share) as ours:
            portshare.restore(*share)
            portshare.withdraw(METADATA_ADDRESS, "share")
            portshare.restore(*share)
            return said_at(METADATA_ADDRESS, 80, ours, 5)

    assert thread.call(path, flushed) == b"xxxxx"


def test_listening_again_keeps_the_rules_that_are_there(
    thread: NamespaceThread, path: Path
) -> None:
    def twice() -> bytes:
        portshare.listen(METADATA_ADDRESS, 80, BEHIND, "share").close()
        with portshare.listen(METADATA_ADDRESS, 80, BEHIND, "share") as ours:
            return said_at(METADATA_ADDRESS, 80, ours, 5)

    assert thread.call(path, twice) == b"xxxxx"


def test_the_socket_is_closed_when_the_rules_are_refused(
    thread: NamespaceThread, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no nftables in this kernel")

    monkeypatch.setattr(nfnetlink, "transact", refuse)
    with pytest.raises(OSError, match="no nftables"):
        thread.call(path, partial(portshare.listen, METADATA_ADDRESS, 80, BEHIND, "share"))

    with thread.call(path, partial(listen, str(METADATA_ADDRESS), BEHIND)) as free:
        assert free.fileno() > 0


def test_withdrawing_leaves_neither_rules_nor_address_and_may_be_repeated(
    thread: NamespaceThread, path: Path
) -> None:
    def withdrawn() -> None:
        portshare.listen(METADATA_ADDRESS, 80, BEHIND, "share").close()
        portshare.withdraw(METADATA_ADDRESS, "share")
        portshare.withdraw(METADATA_ADDRESS, "share")

    thread.call(path, withdrawn)

    with pytest.raises(OSError, match="Cannot assign"):
        thread.call(path, partial(listen, str(METADATA_ADDRESS), BEHIND))
    # Had the table stayed, making it again would leave its rules twice; a new one answers once.
    with thread.call(
        path, partial(portshare.listen, METADATA_ADDRESS, 80, BEHIND, "share")
    ) as ours:
        assert thread.call(path, partial(said_at, METADATA_ADDRESS, 80, ours, 2)) == b"xx"
