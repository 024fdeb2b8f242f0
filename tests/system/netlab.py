"""A host of its own for network tests: namespaces `host` and `outside`, joined by a veth pair.

Everything that `cni` does happens in the scratch host: its functions act in the namespace of the
thread that calls them, and `Lab.on_host` calls them from a thread that lives there. The real host
gets nothing but bind mounts below a temporary directory.
"""

import contextlib
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, Final, TypeVar

from cni.bridge import plugin as bridge
from cni.bridge.plugin import BridgeConfig
from cni.conf import Fields
from cni.context import Context, open_context
from cni.kernel import netns, routes, rtnetlink
from cni.kernel.netlink import NetlinkSocket
from cni.kernel.rtnetlink import Peer
from cni.portmap.mappings import Protocol
from cni.spec import Args, Result, host_ifname
from tests.system.scratchhosts import scratch_hosts
from tests.system.talking import exchanged

T = TypeVar("T")

TABLE: Final = "lab"
SUBNET: Final = IPv4Network("10.210.0.0/24")
SUBNET6: Final = IPv6Network("fd00:210::/64")
GATEWAY: Final = IPv4Address("10.210.0.1")
HOST: Final = IPv4Interface("192.0.2.1/24")
OUTSIDE: Final = IPv4Interface("192.0.2.2/24")
LOOPBACK: Final = IPv4Address("127.0.0.1")
ANY: Final = IPv4Address(0)
DEADLINE_S: Final = 10.0
PROMPT_S: Final = 0.9
"""For what must not need a second request for a neighbour, which comes a second after the first."""
GONE_S: Final = 30.0
"""For the kernel to take down namespaces: it does those of all tests in a row."""


@dataclass
class Lab:
    """The scratch host, and one context open on it."""

    root: Path
    threads: netns.NamespaceThread
    host_thread: ThreadPoolExecutor
    outside: Path
    host: Path
    context: Context = field(init=False)

    def on_host(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in the thread that lives on the scratch host."""
        return self.host_thread.submit(work, *args).result(30)

    def conf(
        self, *subnets: object, ipam: dict[str, Any] | None = None, **keys: Any
    ) -> BridgeConfig:
        """The lab's network; `keys` are those of CNI, `subnets` a range set each."""
        addresses = {
            "type": "hostler-ipam",
            "ranges": [[{"subnet": str(each)}] for each in subnets or (SUBNET,)],
            "dataDir": str(self.root / "leases"),
        }
        values = {"name": "lab", "bridge": "lab0", "isDefaultGateway": True, "ipMasq": True}
        values |= {"hairpinMode": True, "table": TABLE}
        return bridge.parse(Fields({**values, "ipam": addresses if ipam is None else ipam, **keys}))

    def attach(
        self, name: str, conf: BridgeConfig | None = None, **more: Any
    ) -> tuple[Args, Result]:
        """Make a namespace and attach it; `more` are fields of `Args`."""
        args = self.args(name, **more)
        assert args.netns is not None
        self.on_host(self.context.namespaces.create, args.netns)
        return args, self.on_host(bridge.add, conf or self.conf(), args, self.context)

    def args(self, name: str, **more: Any) -> Args:
        return Args(name, self.root / "netns" / name, **more)

    def delete(self, args: Args, conf: BridgeConfig | None = None) -> None:
        """Remove an attachment in the quick order."""
        if args.netns is not None:
            netns.remove(args.netns)
        self.on_host(bridge.delete, conf or self.conf(), args, self.context)

    def check(self, args: Args, prev: Result | None, conf: BridgeConfig | None = None) -> None:
        """CHECK with what ADD, or a plugin after it, has given."""
        given = replace(args, prev=prev)
        self.on_host(bridge.check, conf or self.conf(), given, self.context)

    def leases(self) -> list[str]:
        """The addresses that are taken."""
        names = [path.name for path in (self.root / "leases" / "lab").glob("*")]
        return sorted(name for name in names if name[0].isdigit() or ":" in name)

    def ip(self, at: Path | None, command: str) -> str:
        """Run ip(8) in a namespace, the scratch host's without one; what it printed."""
        run = partial(subprocess.run, ["ip", *command.split()], capture_output=True, text=True)
        finished = self.threads.call(at or self.host, run)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def listen(
        self, at: Path, protocol: Protocol, port: int, address: IPv4Address | IPv6Address = ANY
    ) -> socket.socket:
        """Return a server socket in a namespace, on all its IPv4 addresses unless told."""
        return self.threads.call(at, partial(server, protocol, port, address))

    def talk(
        self,
        source: Path,
        to: tuple[IPv4Address | IPv6Address, int],
        listener: socket.socket,
        patience_s: float = DEADLINE_S,
    ) -> str:
        """Send a request from a namespace, answer it on `listener`; returns the peer it saw.

        Raises TimeoutError or OSError when either direction does not pass.
        """
        protocol = Protocol.TCP if listener.type == socket.SOCK_STREAM else Protocol.UDP
        with self.threads.call(source, partial(connected, protocol, to, patience_s)) as client:
            peer = exchanged(client, listener)
        return str(peer[0])


def server(
    protocol: Protocol, port: int, address: IPv4Address | IPv6Address = ANY
) -> socket.socket:
    sock = socket.socket(_family(address), _kind(protocol))
    try:
        sock.settimeout(DEADLINE_S)
        sock.bind((str(address), port))
        if protocol is Protocol.TCP:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def connected(
    protocol: Protocol, to: tuple[IPv4Address | IPv6Address, int], patience_s: float = DEADLINE_S
) -> socket.socket:
    sock = socket.socket(_family(to[0]), _kind(protocol))
    try:
        sock.settimeout(patience_s)
        sock.connect((str(to[0]), to[1]))
    except OSError:
        sock.close()
        raise
    return sock


def _family(address: IPv4Address | IPv6Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _kind(protocol: Protocol) -> socket.SocketKind:
    return socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM


@contextlib.contextmanager
def lab(root: Path) -> Iterator[Lab]:
    """Build the lab below a temporary directory and take all of it down again."""
    with scratch_hosts(root) as made:
        built = Lab(root, made.threads, made.host_thread, made.outside, made.host)
        _join(built)
        built.context = built.on_host(open_context, root / "state")
        yield built
        built.on_host(built.context.close)


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
        links.execute([routes.new_address(link.index, address)])

    built.on_host(plug)
    built.threads.call(built.outside, far)


def host_end(name: str) -> str:
    """The host end of what `Lab.attach` made."""
    return host_ifname("veth", Args(name, None).attachment)


def host_names(built: Lab) -> list[str]:
    """The interfaces of the scratch host."""
    return built.on_host(lambda: sorted(name for _, name in socket.if_nameindex()))


def wait_gone(built: Lab, name: str) -> None:
    """Wait until the kernel has reaped an interface of the scratch host."""
    watch = built.on_host(_link_events)
    with watch, selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        while name in host_names(built):
            assert selector.select(GONE_S), f"{name} is still there"
            watch.recv(65536)


def _link_events() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
    sock.bind((0, 1))  # RTMGRP_LINK
    return sock


def in_threads(count: int, work: Callable[[int], T]) -> list[T]:
    """Call `work(0..count-1)` at the same time, each in a thread of its own."""
    gate = threading.Barrier(count)

    def run(number: int) -> T:
        gate.wait(DEADLINE_S)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
