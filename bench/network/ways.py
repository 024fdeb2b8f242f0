"""The ways to attach a container: new namespace, veth to a bridge, address, route, published port.

Every way makes the same things and takes them away again. Numbers give each attachment its names.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Protocol

from cni.context import Context
from cni.kernel import bridging, netns, routes, rtnetlink
from cni.kernel.rtnetlink import Peer
from cni.portmap import ports
from cni.portmap.mappings import Protocol as PortProtocol
from cni.portmap.ports import PublishedPort
from cni.runtime.chain import Runtime
from cni.runtime.conflist import Network
from cni.spec import Route

Json = dict[str, Any]

FIRST_PORT = 20000
CONTAINER_PORT = 8080
_DEADLINE_S = 30.0
_ANYWHERE = IPv4Network("0.0.0.0/0")


class Way(Protocol):
    """One way; raises what went wrong."""

    @property
    def name(self) -> str:
        """What it is called."""

    def add(self, number: int) -> None:
        """Attachment ``number`` is there: its packets can go."""

    def delete(self, number: int) -> None:
        """It was taken away; the kernel may still be at it."""


def mapping(number: int) -> Json:
    """The published port of an attachment, as ``portMappings`` has it."""
    return {"hostPort": FIRST_PORT + number, "containerPort": CONTAINER_PORT, "protocol": "tcp"}


@dataclass(frozen=True, slots=True)
class InProcess:
    """As the agent does it: the plugins are functions, and the namespace goes first."""

    name: str
    runtime: Runtime
    network: Network
    namespaces: Path

    def add(self, number: int) -> None:
        self.publish(number, [mapping(number)])

    def publish(self, number: int, mappings: Sequence[Json]) -> None:
        """The same with other published ports."""
        path = self.path(number)
        self.runtime.context.namespaces.create(path)
        capabilities = {"portMappings": mappings}
        self.runtime.add(self.network, f"c{number}", path, capabilities=capabilities)

    def delete(self, number: int) -> None:
        netns.remove(self.path(number))
        self.runtime.delete(self.network, f"c{number}", None)

    def path(self, number: int) -> Path:
        """The namespace of an attachment."""
        return self.namespaces / f"c{number}"


@dataclass(frozen=True, slots=True)
class Floor:
    """The kernel's work alone: hand-packed messages in as few sends as a usable port allows.

    Addresses are counted, nothing is remembered, and nothing is checked.
    """

    name: str
    context: Context
    bridge: int
    table: str
    gateway: IPv4Interface
    namespaces: Path

    def add(self, number: int) -> None:
        path = self.namespaces / f"f{number}"
        self.context.namespaces.create(path)
        address = self.gateway.ip + 1 + number
        host_end = f"f{number}"
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            peer = Peer(descriptor, "eth0", (b"\x02\x68" + address.packed).hex(":"))
            pair = rtnetlink.new_veth(host_end, self.bridge, 1500, peer)
            port = bridging.set_port(host_end, hairpin=True, isolated=False, note="")
            self.context.links.execute([pair, port])
        finally:
            os.close(descriptor)
        with self.context.namespaces.call(path, rtnetlink.open_socket) as inside:
            inside.execute(
                [
                    rtnetlink.link_up("lo"),
                    rtnetlink.link_up("eth0"),
                    routes.new_address(2, IPv4Interface((address, self.gateway.network.prefixlen))),
                    routes.new_route(2, Route(_ANYWHERE, self.gateway.ip)),
                ]
            )
        ports.publish(self.context.firewall, self.table, [self._port(number, address)])
        # Until it has been asked, the kernel may leave the port and the bridge without a carrier.
        rtnetlink.get_link(self.context.links, host_end)
        rtnetlink.link_at(self.context.links, self.bridge)

    def delete(self, number: int) -> None:
        netns.remove(self.namespaces / f"f{number}")
        ports.withdraw(self.context.firewall, self.table, f"f{number}")

    def _port(self, number: int, address: IPv4Address) -> PublishedPort:
        return PublishedPort(
            PortProtocol.TCP, FIRST_PORT + number, address, CONTAINER_PORT, f"f{number}"
        )


@dataclass(frozen=True, slots=True)
class Executables:
    """Plugins as programs, called as libcni calls them; DEL comes before the namespace goes."""

    name: str
    context: Context
    directory: Path
    plugins: Sequence[Json]
    namespaces: Path
    environment: Mapping[str, str]

    def add(self, number: int) -> None:
        self.context.namespaces.create(self.namespaces / f"x{number}")
        result: Json | None = None
        for plugin in self.plugins:
            result = json.loads(self._call("ADD", plugin, number, result))
        (self.namespaces.parent / f"result-x{number}").write_text(json.dumps(result))

    def delete(self, number: int) -> None:
        kept = self.namespaces.parent / f"result-x{number}"
        result = json.loads(kept.read_text())
        for plugin in reversed(self.plugins):
            self._call("DEL", plugin, number, result)
        netns.remove(self.namespaces / f"x{number}")
        kept.unlink()

    def _call(self, verb: str, plugin: Json, number: int, previous: Json | None) -> bytes:
        request = {**plugin, "name": "bench", "cniVersion": "1.0.0"}
        if previous is not None:
            request["prevResult"] = previous
        if plugin.get("capabilities"):
            request["runtimeConfig"] = {"portMappings": [mapping(number)]}
        ran = subprocess.run(
            [self.directory / plugin["type"]],
            input=json.dumps(request).encode(),
            env={
                **self.environment,
                "CNI_COMMAND": verb,
                "CNI_CONTAINERID": f"x{number}",
                "CNI_NETNS": str(self.namespaces / f"x{number}"),
                "CNI_IFNAME": "eth0",
                "CNI_PATH": str(self.directory),
            },
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{self.name}: {plugin['type']} {verb}: {ran.stdout.decode()}")
        return ran.stdout
