"""Publishes ports of a container on the host, fixed ones and dynamically chosen ones.

A published port is an element of the nftables map (`nft.PortsMap`): the kernel refuses a second one
with the same protocol and port, so two containers never get the same, whoever adds at the same
time. Nothing listens on a published port; a local program that does is looked for when the port is
published, and would lose its traffic if it began later.

Fixed and dynamic ports and contiguous ranges follow the ECS fields `portMappings[].hostPort` and
`containerPortRange`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from cni import hostports
from cni.context import Context
from cni.errors import CNIError, Code, PortTaken, reported
from cni.hostports import Cursor, PortRange
from cni.nft import Protocol, PublishedPort
from cni.spec import Args

_ANY: Final = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class PortMapping:
    """`count` neighbouring ports to publish; host port 0 leaves the choice to the plugin."""

    container_port: int
    host_port: int = 0
    protocol: Protocol = Protocol.TCP
    count: int = 1

    def __post_init__(self) -> None:
        PortRange(self.container_port, self.container_port + self.count - 1)
        if self.host_port:
            PortRange(self.host_port, self.host_port + self.count - 1)


@dataclass(frozen=True, slots=True)
class Binding:
    """One published port, as ECS reports it in `networkBindings`."""

    protocol: Protocol
    container_port: int
    host_port: int
    host_ip: IPv4Address = _ANY


@dataclass(frozen=True, slots=True)
class PortmapConfig:
    """What to publish, to which address; `bindings` is what ADD returned, for CHECK.

    Without `dynamic_range` it is the kernel's range of ephemeral ports.
    """

    address: IPv4Address
    mappings: tuple[PortMapping, ...] = ()
    dynamic_range: PortRange | None = None
    bindings: tuple[Binding, ...] = ()


@reported("cannot publish ports")
def add(conf: PortmapConfig, args: Args, context: Context) -> tuple[Binding, ...]:
    """Publish all mappings or none, and say on which host ports, in the order of the mappings.

    What the container had published before is withdrawn first. Raises PortTaken for a fixed port
    in use, number 11 (try again later) when no dynamic port is left.
    """
    delete(conf, args, context)
    try:
        # Fixed ones first, lest a dynamic choice takes one of them.
        bound = {
            mapping: _publish(mapping, conf, args, context)
            for mapping in sorted(conf.mappings, key=lambda mapping: mapping.host_port == 0)
        }
    except (CNIError, OSError):
        delete(conf, args, context)
        raise
    return tuple(binding for mapping in conf.mappings for binding in bound[mapping])


@reported("cannot withdraw ports")
def delete(_conf: PortmapConfig, args: Args, context: Context) -> None:
    """Withdraw all ports of the container, which the map itself names; none is fine."""
    context.ports.withdraw(args.container_id)


@reported("cannot look up ports")
def check(conf: PortmapConfig, args: Args, context: Context) -> None:
    """Raise number 101 unless each port of `conf.bindings` still leads to the container."""
    published = context.ports.published(args.container_id)
    for binding in conf.bindings:
        if _element(binding, conf.address, args.container_id) not in published:
            port = f"{binding.host_port}/{binding.protocol.value}"
            msg = f"host port {port} does not lead to container {args.container_id}"
            raise CNIError(Code.CHECK_FAILED, msg)


@reported("cannot withdraw ports")
def gc(valid: Collection[str], context: Context) -> None:
    """Withdraw the ports of containers that are not valid; elements without a name stay."""
    owners = {port.owner for port in context.ports.published()} - {""}
    for owner in owners.difference(valid):
        context.ports.withdraw(owner)


def _publish(
    mapping: PortMapping, conf: PortmapConfig, args: Args, context: Context
) -> tuple[Binding, ...]:
    if mapping.host_port == 0:
        return _publish_free(mapping, conf, args, context)
    run = range(mapping.host_port, mapping.host_port + mapping.count)
    for port in run:
        if not hostports.is_free(mapping.protocol, port):
            raise PortTaken(mapping.protocol.value, port, "a program on the host")
    return _publish_run(mapping, run, conf.address, args, context)


def _publish_free(
    mapping: PortMapping, conf: PortmapConfig, args: Args, context: Context
) -> tuple[Binding, ...]:
    """Take the first run of free ports after the port that was chosen last."""
    ports = conf.dynamic_range or hostports.ephemeral_range()
    cursor = Cursor(context.state_dir / "last-port")
    taken: set[int] = set()  # the map is not read before the first clash: mostly there is none
    for run in ports.runs(cursor.read(), mapping.count):
        if any(port in taken or not hostports.is_free(mapping.protocol, port) for port in run):
            continue
        try:
            bindings = _publish_run(mapping, run, conf.address, args, context)
        except PortTaken:
            published = context.ports.published()
            taken = {port.host_port for port in published if port.protocol is mapping.protocol}
            continue
        cursor.write(run[-1])
        return bindings
    msg = f"no {mapping.count} free {mapping.protocol.value} host ports in a row"
    raise CNIError(Code.TRY_AGAIN_LATER, msg, f"in {ports.first}-{ports.last}")


def _publish_run(
    mapping: PortMapping, run: range, address: IPv4Address, args: Args, context: Context
) -> tuple[Binding, ...]:
    bindings = tuple(
        Binding(mapping.protocol, mapping.container_port + at, host_port)
        for at, host_port in enumerate(run)
    )
    context.ports.publish([_element(one, address, args.container_id) for one in bindings])
    return bindings


def _element(binding: Binding, address: IPv4Address, owner: str) -> PublishedPort:
    return PublishedPort(
        binding.protocol, binding.host_port, address, binding.container_port, owner
    )
