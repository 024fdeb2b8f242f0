"""One question and one answer between two sockets, by whatever way they are joined."""

import socket
from typing import Any

DEADLINE_S = 10.0


def exchanged(client: socket.socket, listener: socket.socket) -> Any:
    """Ask by the connected `client`, answer on `listener`; returns the peer's address as it saw it.

    Raises TimeoutError or another OSError when either direction does not pass.
    """
    client.send(b"ask")
    if listener.type == socket.SOCK_DGRAM:
        question, peer = listener.recvfrom(10)
        listener.sendto(b"answer", peer)
    else:
        served, peer = listener.accept()
        with served:
            served.settimeout(DEADLINE_S)
            question = served.recv(10)
            served.send(b"answer")
    assert (question, client.recv(10)) == (b"ask", b"answer")
    return peer
