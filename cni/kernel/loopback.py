"""What is done on the loopback interface of the calling thread's network namespace.

The task metadata endpoint is served from a socket that listens *inside* each task's namespace on a
link-local address of its `lo`: no NAT, no route, and the socket itself tells who asks. Run these
with `NamespaceThread.call(path, ...)`; for the host's own namespace call them directly.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from cni.kernel import routes, rtnetlink
from cni.kernel.netlink import tolerating

# Where tasks expect their metadata and credentials (ECS task metadata endpoint).
METADATA_ADDRESS: Final = IPv4Address("169.254.170.2")

_LOOPBACK_INDEX: Final = 1  # in every network namespace
_BACKLOG: Final = 1024  # who comes while nobody accepts; at most net.core.somaxconn


def listen(address: IPv4Address, port: int) -> socket.socket:
    """Return a listening TCP socket on `address`, which `lo`, brought up, is given first.

    As `listen_on`.
    """
    ensure_address(address)
    return listen_on(address, port)


def listen_on(address: IPv4Address, port: int) -> socket.socket:
    """Return a listening TCP socket on `address`, which is there.

    Only programs of this namespace reach it. It does not block, is not inherited by children, and
    any thread may use it. It keeps the namespace alive until it is closed. May be repeated when the
    former socket is closed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of a former process may still be in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Neighbours could send packets for this address to us: only those of `lo` are ours.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        listener.bind((str(address), port))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except OSError:
        listener.close()
        raise
    return listener


def ensure_address(address: IPv4Address) -> None:
    """Bring `lo` up and give it `address`/32; it may have it already."""
    with rtnetlink.open_socket() as links:
        links.execute([rtnetlink.link_up("lo")])
        with tolerating(errno.EEXIST):
            links.execute([routes.new_address(_LOOPBACK_INDEX, IPv4Interface(address))])


def drop_address(address: IPv4Address) -> None:
    """Take `address`/32 from `lo`; it may be gone already."""
    with rtnetlink.open_socket() as links, tolerating(errno.EADDRNOTAVAIL):
        links.execute([routes.delete_address(_LOOPBACK_INDEX, IPv4Interface(address))])
