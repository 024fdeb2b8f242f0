"""The way of packets to a sandbox, as a drawing in characters. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.cli import tasks

METADATA = "169.254.170.2"

Json = dict[str, Any]


def drawing(attachment: Json, network: Json) -> Iterator[str]:
    """The lines, from the outside down to the containers."""
    task = tasks.task_id(attachment["taskArn"])
    definition = tasks.definition_name(attachment["taskDefinitionArn"])
    yield f"task {task} ({definition}), network mode {attachment['mode']}"
    yield ""
    stages = list(_stages(attachment, network))
    width = max(len(what) for what, _ in stages) + 3
    for what, note in stages:
        yield f"  {what:<{width}}{note}".rstrip()
        yield "    │"
    for name in attachment["containers"]:
        yield f"  [{name}]  {_ports(attachment, name)}".rstrip()
    yield ""
    if attachment["netns"]:
        yield f"  network namespace {attachment['netns']}"
    yield f"  {METADATA} is answered by the agent, from a socket in this network"


def _stages(attachment: Json, network: Json) -> Iterator[tuple[str, str]]:
    """What a packet passes before it is at the containers, and what that is."""
    match attachment["mode"]:
        case "bridge":
            yield from _bridge(attachment, network)
        case "awsvpc":
            yield from _awsvpc(attachment)
        case "host":
            yield "the host's own network", "no namespace, no rules of ours"
        case _:
            yield "no network", "only loopback, and the metadata address on it"
    if attachment["securityGroups"]:
        groups = ", ".join(attachment["securityGroups"])
        yield f"security groups {groups}", "nftables, inside the namespace"


def _ports(attachment: Json, container: str) -> str:
    ports = (each for each in attachment["ports"] if each["container"] == container)
    return " ".join(f"{each['port']}/{each['protocol']}" for each in ports)


def addresses(facts: Json) -> list[str]:
    """The primary addresses with their prefix lengths."""
    pairs = ((facts["ipv4"], facts["prefix"]), (facts["ipv6"], facts["prefix6"]))
    return [f"{address}/{prefix}" for address, prefix in pairs if address]


def published(facts: Json) -> str:
    """The published ports, host's to container's."""
    return " ".join(
        f"{_run(each, 'host_port')}->{_run(each, 'container_port')}/{each['protocol']}"
        for each in facts["ports"]
    )


def host_side(attachment: Json) -> str:
    """What on the host leads to the sandbox: the end of a veth pair, or the device behind."""
    if attachment["hostInterface"]:
        return str(attachment["hostInterface"])
    interface = attachment["interface"]
    if interface is None:
        return ""
    match interface["kind"]:
        case "vlan":
            return f"{interface['parent']} vlan {interface['vlan']}"
        case "macvlan":
            return f"{interface['parent']} macvlan"
        case _:
            return "moved in"


def _bridge(attachment: Json, network: Json) -> Iterator[tuple[str, str]]:
    ports = published(attachment["attachment"])
    if ports:
        yield f"host ports {ports}", f"maps of nftables table {network['table']}"
    subnets = ", ".join(network["subnets"])
    if network["bridge"]:
        masked = f"masquerades what leaves {subnets}" if subnets else ""
        yield f"{network['bridge']}  {_gateways(attachment)}", masked
        yield attachment["hostInterface"], "host end of the veth pair"
    else:
        plugins = ", ".join(network["plugins"])
        yield f"network {network['network']}  {_gateways(attachment)}", f"made by {plugins}"
    yield _own(attachment)


def _awsvpc(attachment: Json) -> Iterator[tuple[str, str]]:
    interface = attachment["interface"] or {}
    if gateway := _gateways(attachment):
        yield f"gateway {gateway}", interface.get("subnet", "")
    if side := host_side(attachment):
        note = "a NIC of this host" if side == "moved in" else "below a NIC of this host"
        yield f"{interface.get('id', '')}  {side}".strip(), note
    yield _own(attachment)


def _gateways(attachment: Json) -> str:
    facts = attachment["attachment"]
    return " ".join(each for each in (facts["gateway"], facts["gateway6"]) if each)


def _own(attachment: Json) -> tuple[str, str]:
    """The interface of the containers."""
    facts = attachment["attachment"]
    return " ".join((attachment["ifname"], *addresses(facts))), f"MAC {facts['mac']}"


def _run(binding: Json, key: str) -> str:
    first, count = binding[key], binding["count"]
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
