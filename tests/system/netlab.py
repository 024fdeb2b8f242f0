"""A host of its own for network tests: namespaces `host` and `outside`, joined by a veth pair.

Everything that `cni` does happens in the scratch host: its functions act in the namespace of the
thread that calls them, and `Lab.on_host` calls them from a thread that lives there. The real host
gets nothing but bind mounts below a temporary directory.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final, TypeVar

from cni import bridge, netns, rtnetlink, ruleset
from cni.bridge import BridgeConfig
from cni.context import Context, open_context
from cni.ipam import IPAMConfig
from cni.netlink import NetlinkSocket
from cni.nft import Protocol
from cni.rtnetlink import Peer
from cni.ruleset import Network
from cni.spec import Args, Result

T = TypeVar("T")

TABLE: Final = "lab"
SUBNET: Final = IPv4Network("10.210.0.0/24")
CONF: Final = BridgeConfig("lab0", IPAMConfig("lab", SUBNET))
HOST: Final = IPv4Interface("192.0.2.1/24")
OUTSIDE: Final = IPv4Interface("192.0.2.2/24")
LOOPBACK: Final = IPv4Address("127.0.0.1")
ANY: Final = IPv4Address(0)
DEADLINE_S: Final = 2.0


@dataclass
class Lab:
    """The scratch host, with our table and bridge, and one context open on it."""

    root: Path
    threads: netns.NamespaceThread
    host_thread: ThreadPoolExecutor
    outside: Path
    host: Path
    context: Context = field(init=False)

    def on_host(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in the thread that lives on the scratch host."""
        return self.host_thread.submit(work, *args).result(30)

    def attach(self, name: str) -> tuple[Args, Result]:
        """Make a namespace and attach it."""
        args = self.args(name)
        assert args.netns is not None
        self.on_host(self.context.namespaces.create, args.netns)
        return args, self.on_host(bridge.add, CONF, args, self.context)

    def args(self, name: str) -> Args:
        return Args(name, self.root / "netns" / name, f"veth{name}")

    def delete(self, args: Args) -> None:
        """Remove an attachment in the quick order."""
        if args.netns is not None:
            netns.remove(args.netns)
        self.on_host(bridge.delete, CONF, args, self.context)

    def listen(self, at: Path, protocol: Protocol, port: int) -> socket.socket:
        """Return a server socket on all addresses of a namespace."""
        return self.threads.call(at, partial(server, protocol, port))

    def talk(
        self,
        source: Path,
        to: tuple[IPv4Address, int],
        listener: socket.socket,
        patience_s: float = DEADLINE_S,
    ) -> str:
        """Send a request from a namespace, answer it on `listener`; returns the peer it saw.

        Raises TimeoutError or OSError when either direction does not pass.
        """
        protocol = Protocol.TCP if listener.type == socket.SOCK_STREAM else Protocol.UDP
        with self.threads.call(source, partial(connected, protocol, to, patience_s)) as client:
            client.send(b"ask")
            if protocol is Protocol.UDP:
                question, peer = listener.recvfrom(10)
                listener.sendto(b"answer", peer)
            else:
                served, peer = listener.accept()
                with served:
                    served.settimeout(DEADLINE_S)
                    question = served.recv(10)
                    served.send(b"answer")
            assert (question, client.recv(10)) == (b"ask", b"answer")
        return str(peer[0])


def server(protocol: Protocol, port: int, address: IPv4Address = ANY) -> socket.socket:
    sock = socket.socket(socket.AF_INET, _kind(protocol))
    sock.settimeout(DEADLINE_S)
    sock.bind((str(address), port))
    if protocol is Protocol.TCP:
        sock.listen()
    return sock


def connected(
    protocol: Protocol, to: tuple[IPv4Address, int], patience_s: float = DEADLINE_S
) -> socket.socket:
    sock = socket.socket(socket.AF_INET, _kind(protocol))
    try:
        sock.settimeout(patience_s)
        sock.connect((str(to[0]), to[1]))
    except OSError:
        sock.close()
        raise
    return sock


def _kind(protocol: Protocol) -> socket.SocketKind:
    return socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM


@contextlib.contextmanager
def lab(root: Path) -> Iterator[Lab]:
    """Build the lab below a temporary directory and take all of it down again."""
    threads = netns.NamespaceThread()
    host, outside = root / "host", root / "outside"
    threads.create(host)
    threads.create(outside)
    host_thread = ThreadPoolExecutor(1, "host", initializer=netns.enter, initargs=(host,))
    built = Lab(root, threads, host_thread, outside, host)
    try:
        _join(built)
        built.on_host(ruleset.ensure_table, TABLE, [Network(CONF.bridge, SUBNET)])
        built.context = built.on_host(open_context, root / "state", TABLE)
        built.on_host(bridge.ensure, CONF, built.context)
        yield built
        built.on_host(built.context.close)
    finally:
        host_thread.shutdown()
        threads.stop()
        for path in [*(root / "netns").glob("*"), host, outside]:
            netns.remove(path)


def _join(built: Lab) -> None:
    """Connect host (`wan`) and outside (`lan`) as two neighbours on a cable."""

    def plug() -> None:
        with rtnetlink.open_socket() as links, built.outside.open() as other:
            peer = Peer(other.fileno(), "lan", "02:00:00:00:00:02")
            links.execute([rtnetlink.link_up("lo"), rtnetlink.new_veth("wan", 0, 1500, peer)])
            configure(links, "wan", HOST)

    def far() -> None:
        with rtnetlink.open_socket() as links:
            links.execute([rtnetlink.link_up("lo")])
            configure(links, "lan", OUTSIDE)

    def configure(links: NetlinkSocket, name: str, address: IPv4Interface) -> None:
        links.execute([rtnetlink.link_up(name)])
        link = rtnetlink.get_link(links, name)
        assert link is not None
        links.execute([rtnetlink.new_address(link.index, address)])

    built.on_host(plug)
    built.threads.call(built.outside, far)


def host_names(built: Lab) -> list[str]:
    """The interfaces of the scratch host."""
    return built.on_host(lambda: sorted(name for _, name in socket.if_nameindex()))


def wait_gone(built: Lab, name: str) -> None:
    """Wait until the kernel has reaped an interface of the scratch host."""
    watch = built.on_host(_link_events)
    with watch, selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        while name in host_names(built):
            assert selector.select(5), f"{name} is still there"
            watch.recv(65536)


def _link_events() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
    sock.bind((0, 1))  # RTMGRP_LINK
    return sock


def in_threads(count: int, work: Callable[[int], T]) -> list[T]:
    """Call `work(0..count-1)` at the same time, each in a thread of its own."""
    gate = threading.Barrier(count)

    def run(number: int) -> T:
        gate.wait(5)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
