"""A VPC for network tests: a subnet with its gateway, and hosts whose NICs are plugged into it.

Everything is in namespaces of the lab's own, built with `ip`. What stands in for a NIC is one end
of a veth pair; the other is a port of the gateway's bridge. Unlike a NIC it is destroyed with its
namespace. Instance metadata answers at the gateway, as it would in EC2.
"""

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

from pyroute2 import IPRoute

from cni.context import Context, open_context
from cni.kernel import netns, rtnetlink
from cni.spec import Args
from tests.system.talking import exchanged

T = TypeVar("T")

GATEWAY: Final = "10.0.1.1"
GATEWAY6: Final = "2001:db8:1::1"
IMDS: Final = "169.254.169.254"
IMDS6: Final = "fd00:ec2::254"
DEADLINE_S: Final = 10.0
REFUSED_S: Final = 0.3
"""How long to wait for what is dropped: an answer takes less than a millisecond."""
COMMAND_S: Final = 30.0
"""For ip(8): the kernel changes the links of one namespace at a time, be they whose they may."""


@dataclass
class Host:
    """A host in the VPC: a namespace, a thread that lives there, and a context open on it."""

    path: Path
    thread: ThreadPoolExecutor
    state: Path
    context: Context = field(init=False)

    def call(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in the host's thread."""
        return self.thread.submit(work, *args).result(30)

    def ip(self, command: str, *more: str) -> str:
        """Run ip(8) on the host."""
        return self.call(partial(_ip, [*command.split(), *more]))

    def link(self, name: str) -> dict[str, Any]:
        """What ip(8) says of a link and its addresses."""
        (link,) = json.loads(self.ip("-j", "-d", "link", "show", "dev", name))
        (addresses,) = json.loads(self.ip("-j", "addr", "show", "dev", name))
        return {**link, **addresses}


@dataclass
class Vpc:
    """The lab; `gateway` is the namespace with the router, in `inside` are those of tasks."""

    root: Path
    threads: netns.NamespaceThread
    gateway: Path
    hosts: list[Host] = field(default_factory=list)

    @property
    def host(self) -> Host:
        return self.hosts[0]

    def ip(self, at: Path, command: str, *more: str) -> str:
        """Run ip(8) in a namespace."""
        return self.threads.call(at, partial(_ip, [*command.split(), *more]))

    def plug(self, host: Host, name: str, mac: str) -> None:
        """Give a host a NIC that is plugged into the subnet."""
        self.cable(host.path, name, mac)

    def cable(self, namespace: Path, name: str, mac: str) -> None:
        """Give a namespace a NIC that is plugged into the subnet."""
        number = len(json.loads(self.ip(self.gateway, "-j", "link")))
        port = f"port{number}"
        self.ip(self.gateway, "link", "add", port, "type", "veth", "peer", "name", "far")
        self.ip(self.gateway, "link", "set", port, "master", "vpc0", "up")
        self.ip(self.gateway, "link", "set", "far", "address", mac)
        with namespace.open() as there:
            target = f"/proc/self/fd/{there.fileno()}"
            words = ("ip", "link", "set", "far", "netns", target, "name", name)
            move = partial(subprocess.run, words, check=True, pass_fds=[there.fileno()])
            self.threads.call(self.gateway, move)

    def unplug(self) -> None:
        """Remove all NICs at once: the end of a namespace removes them in its own time."""
        for link in json.loads(self.ip(self.gateway, "-j", "link", "show", "type", "veth")):
            # One whose peer went with a namespace may be gone by now.
            words = ("ip", "link", "delete", link["ifname"])
            run = partial(
                subprocess.run, words, capture_output=True, check=False, timeout=COMMAND_S
            )
            self.threads.call(self.gateway, run)

    def task(self, name: str, runtime: Mapping[str, Any] | None = None) -> Args:
        """A namespace for a task, and how a plugin is told of it."""
        path = self.root / "netns" / name
        self.threads.create(path)
        return Args(name, path, runtime={"eni": runtime or {}})

    def add_host(self, name: str) -> Host:
        """Make a host, with nothing but `lo`."""
        path = self.root / name
        self.threads.create(path)
        thread = ThreadPoolExecutor(1, name, initializer=netns.enter, initargs=(path,))
        made = Host(path, thread, self.root / f"{name}-state")
        made.context = made.call(open_context, made.state)
        self.hosts.append(made)
        return made

    def oracle(self, at: Path, ask: Callable[[IPRoute], T]) -> T:
        """Ask pyroute2 about a namespace."""
        with (
            self.threads.call(at, rtnetlink.open_socket) as sock,
            IPRoute(fileno=os.dup(sock.fileno())) as route,
        ):
            return ask(route)

    def listen(
        self, at: Path, address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM
    ) -> socket.socket:
        """A server socket in a namespace."""
        return self.threads.call(at, partial(_server, address, port, kind))

    def talk(
        self, source: Path, to: str, listener: socket.socket, patience_s: float = DEADLINE_S
    ) -> str:
        """Ask from a namespace, answer on `listener`; returns the peer that it saw.

        Raises TimeoutError or another OSError when either direction does not pass.
        """
        port = listener.getsockname()[1]
        connect = partial(_client, to, port, listener.type, patience_s)
        with self.threads.call(source, connect) as client:
            listener.settimeout(patience_s)
            peer = exchanged(client, listener)
        return str(peer[0])

    def reaches(self, source: Path, to: str, listener: socket.socket) -> bool:
        """Whether a connection (or a datagram and its answer) passes."""
        try:
            self.talk(source, to, listener, REFUSED_S)
        except OSError:
            return False
        return True


def _ip(words: list[str]) -> str:
    ran = subprocess.run(
        ["ip", *words], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr}"
    return ran.stdout


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def _server(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(_family(address), kind)
    try:
        sock.settimeout(DEADLINE_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def _client(to: str, port: int, kind: int, patience_s: float) -> socket.socket:
    sock = socket.socket(_family(to), kind)
    try:
        sock.settimeout(patience_s)
        sock.connect((to, port))
    except OSError:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def vpc(root: Path) -> Iterator[Vpc]:
    """Build a VPC with one host below a temporary directory and take all of it down again."""
    threads = netns.NamespaceThread()
    gateway = root / "gateway"
    threads.create(gateway)
    built = Vpc(root, threads, gateway)
    try:
        for words in (
            "link set lo up",
            "link add vpc0 type bridge",
            "link set vpc0 up",
            f"addr add {GATEWAY}/24 dev vpc0",
            f"addr add {GATEWAY6}/64 dev vpc0 nodad",
            f"addr add {IMDS}/32 dev lo",
            f"addr add {IMDS6}/128 dev lo nodad",
        ):
            built.ip(gateway, words)
        built.add_host("host")
        yield built
    finally:
        for host in built.hosts:
            host.call(host.context.close)
            host.thread.shutdown()
        built.unplug()
        threads.stop()
        for path in [*(root / "netns").glob("*"), *(each.path for each in built.hosts), gateway]:
            netns.remove(path)
