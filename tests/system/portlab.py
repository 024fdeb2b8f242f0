"""A host with containers on a bridge and a neighbour, both IP versions, made by ip(8).

Unlike `netlab` it owes nothing to our own bridge plugin: what is tested in it is the firewall, over
a network that anybody could have made. Namespaces `host`, `outside` and one for each container.
"""

import contextlib
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from cni.context import Context, open_context
from cni.firewall import networks, ruleset
from cni.firewall.networks import Network
from cni.kernel import netns
from cni.portmap import plugin as portmap
from cni.portmap import ports
from cni.portmap.mappings import PortMapping, Protocol
from cni.portmap.plugin import PortmapConfig
from cni.portmap.ports import PublishedPort
from cni.spec import IP, Args, Interface, Result
from tests.system.scratchhosts import scratch_hosts
from tests.system.talking import exchanged

T = TypeVar("T")
Address = IPv4Address | IPv6Address

TABLE: Final = "lab-cni"
BRIDGE: Final = "lab0"
SUBNETS: Final = (ip_network("10.210.0.0/24"), ip_network("fd10:210::/64"))
NETWORK: Final = Network(BRIDGE, SUBNETS)
CONF: Final = PortmapConfig("lab", TABLE)
GATEWAY: Final[dict[int, Address]] = {4: ip_address("10.210.0.1"), 6: ip_address("fd10:210::1")}
HOST: Final[dict[int, Address]] = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8:2::1")}
SECOND: Final[dict[int, Address]] = {4: ip_address("192.0.2.3"), 6: ip_address("2001:db8:2::3")}
"""Other addresses of the host on the same cable."""
OUTSIDE: Final[dict[int, Address]] = {4: ip_address("192.0.2.2"), 6: ip_address("2001:db8:2::2")}
LOOPBACK: Final = IPv4Address("127.0.0.1")
DEADLINE_S: Final = 10.0
PATIENCE_S: Final = 0.4
"""For what must not pass."""

_LENGTH: Final = {4: 24, 6: 64}


@dataclass
class Lab:
    """The scratch host, with our table over a bridge, and one context open on it."""

    root: Path
    threads: netns.NamespaceThread
    host_thread: ThreadPoolExecutor
    context: Context = field(init=False)
    made: int = 1

    @property
    def host(self) -> Path:
        return self.root / "host"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def on_host(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in the thread that lives on the scratch host."""
        return self.host_thread.submit(work, *args).result(60)

    def run(self, at: Path, *commands: str) -> str:
        """Run commands in a namespace, give back what they wrote."""
        return "".join(self.threads.call(at, partial(_command, each)) for each in commands)

    def container(self, name: str) -> Args:
        """Attach a container to the bridge and tell of it as a bridge plugin would."""
        self.made += 1
        path = self.root / "netns" / name
        self.threads.create(path)
        inside = {version: _beside(gateway, self.made) for version, gateway in GATEWAY.items()}
        self.run(
            self.host,
            f"ip link add v{self.made} master {BRIDGE} type veth peer eth0 netns {path}",
            f"ip link set v{self.made} up type bridge_slave hairpin on",
        )
        self.run(path, "ip link set lo up", "ip link set eth0 up", *_addresses("eth0", inside))
        for gateway in GATEWAY.values():
            self.run(path, f"ip route add default via {gateway}")
        self.run(self.host, f"ip link show {BRIDGE}", f"ip link show v{self.made}")
        interfaces = (Interface(BRIDGE), Interface(f"v{self.made}"), Interface("eth0", sandbox="x"))
        ips = tuple(
            IP(ip_interface(f"{address}/{_LENGTH[version]}"), interface=2)
            for version, address in inside.items()
        )
        return Args(name, path, prev=Result(interfaces, ips))

    def publish(self, args: Args, *mappings: PortMapping, conf: PortmapConfig = CONF) -> Args:
        """Publish ports of a container by the plugin; gives back what it was called with."""
        wanted = with_ports(args, *mappings)
        assert self.on_host(portmap.add, conf, wanted, self.context) == args.prev
        return wanted

    def withdraw(self, args: Args, conf: PortmapConfig = CONF) -> None:
        self.on_host(portmap.delete, conf, args, self.context)

    def published(self) -> set[PublishedPort]:
        return self.on_host(ports.published, self.context.firewall, TABLE)

    def listed(self) -> str:
        """The whole table, as nft(8) shows it, in one line."""
        return " ".join(self.run(self.host, f"nft list table inet {TABLE}").split())

    def listen(self, at: Path | None, protocol: Protocol, port: int) -> socket.socket:
        """Return a server socket on all addresses of a namespace."""
        assert at is not None
        return self.threads.call(at, partial(server, protocol, port))

    def connect(
        self, source: Path | None, protocol: Protocol, to: tuple[Address, int], patience_s: float
    ) -> socket.socket:
        """Return a client socket of a namespace."""
        assert source is not None
        return self.threads.call(source, partial(connected, protocol, to, patience_s))

    def talk(
        self,
        source: Path | None,
        to: tuple[Address, int],
        listener: socket.socket,
        patience_s: float = DEADLINE_S,
    ) -> Address:
        """Send a request from a namespace, answer it on `listener`; returns the peer it saw.

        Raises TimeoutError or OSError when either direction does not pass.
        """
        protocol = Protocol.TCP if listener.type == socket.SOCK_STREAM else Protocol.UDP
        with self.connect(source, protocol, to, patience_s) as client:
            peer = exchanged(client, listener)
        return seen(peer)


def with_ports(args: Args, *mappings: PortMapping) -> Args:
    """The arguments of a plugin that has the capability `portMappings`."""
    runtime = {"portMappings": [mapping.to_json() for mapping in mappings]}
    return Args(args.container_id, args.netns, args.ifname, runtime=runtime, prev=args.prev)


def server(protocol: Protocol, port: int) -> socket.socket:
    """A server socket for both IP versions."""
    sock = socket.socket(socket.AF_INET6, _kind(protocol))
    sock.settimeout(DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, protocol is Protocol.TCP)
    sock.bind(("::", port))
    if protocol is Protocol.TCP:
        sock.listen()
    return sock


def connected(protocol: Protocol, to: tuple[Address, int], patience_s: float) -> socket.socket:
    """A client socket, connected."""
    family = socket.AF_INET if to[0].version == 4 else socket.AF_INET6
    sock = socket.socket(family, _kind(protocol))
    try:
        sock.settimeout(patience_s)
        sock.connect((str(to[0]), to[1]))
    except OSError:
        sock.close()
        raise
    return sock


def seen(peer: Any) -> Address:
    """The address in what a server of both IP versions is told of its peer."""
    address = ip_address(peer[0])
    assert isinstance(address, IPv6Address)
    return address.ipv4_mapped or address


@contextlib.contextmanager
def lab(root: Path) -> Iterator[Lab]:
    """Build the lab below a temporary directory and take all of it down again."""
    with scratch_hosts(root) as made:
        built = Lab(root, made.threads, made.host_thread)
        _build(built)
        built.context = built.on_host(open_context, root / "state")
        firewall = built.context.firewall
        built.on_host(ruleset.ensure_table, TABLE, firewall)
        built.on_host(networks.enlist, firewall, TABLE, NETWORK)
        yield built
        built.on_host(built.context.close)


def _build(built: Lab) -> None:
    built.run(
        built.host,
        "ip link set lo up",
        f"ip link add wan type veth peer lan netns {built.outside}",
        "ip link set wan up",
        *_addresses("wan", HOST),
        *_addresses("wan", SECOND),
        f"ip link add {BRIDGE} type bridge",
        f"ip link set {BRIDGE} up",
        *_addresses(BRIDGE, GATEWAY),
        "sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    )
    built.run(built.outside, "ip link set lo up", "ip link set lan up", *_addresses("lan", OUTSIDE))
    for address in HOST.values():  # until the cable is plugged in, which takes a moment
        with built.listen(built.host, Protocol.TCP, 7) as listener:
            built.talk(built.outside, (address, 7), listener)


def _addresses(interface: str, addresses: dict[int, Address]) -> Iterator[str]:
    for version, address in addresses.items():
        nodad = " nodad" if version == 6 else ""
        yield f"ip address add {address}/{_LENGTH[version]} dev {interface}{nodad}"


def _beside(gateway: Address, number: int) -> Address:
    return gateway + (number - 1)


def _command(text: str) -> str:
    done = subprocess.run(shlex.split(text), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout


def _kind(protocol: Protocol) -> socket.SocketKind:
    return socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
