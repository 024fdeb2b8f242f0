"""Network attachments as the agent describes them, one of each kind."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from agent.task.network import Attachment, NetworkInterface, PortBinding
from tests.fakes.api import Body
from tests.unit.cli import worlds

BRIDGE: Body = {
    "mode": "bridge",
    "bridge": "hostler0",
    "subnets": ["10.213.0.0/16"],
    "table": "inet hostler",
}
AWSVPC: Body = {"mode": "awsvpc", "provider": "pool", "parent": "", "subnets": []}

NIC = NetworkInterface("eni-1", "nic", mac="02:00:00:00:00:07", name="eth7", subnet="subnet-1")
VLAN = replace(NIC, kind="vlan", name="", parent="eth1", vlan=42)
MACVLAN = replace(NIC, kind="macvlan", name="", parent="eth1")

ON_BRIDGE = Attachment(
    mode="bridge",
    ipv4="10.213.0.2",
    prefix=16,
    gateway="10.213.0.1",
    mac="02:00:00:00:00:02",
    ports=(PortBinding("tcp", 80, 8080), PortBinding("udp", 5000, 40000, count=10)),
)
BY_ENI = Attachment(
    mode="awsvpc",
    ipv4="10.0.1.7",
    prefix=24,
    gateway="10.0.1.1",
    mac=NIC.mac,
    ipv6="fd00:1::7",
    prefix6=64,
    gateway6="fe80::1",
)


def attachment(facts: Attachment, interface: NetworkInterface | None = None, **more: Any) -> Body:
    """One of the containers ``web`` and, but on a bridge, ``db``."""
    alone = facts.mode == "bridge"
    return {
        "taskArn": worlds.ARN,
        "taskDefinitionArn": worlds.DEFINITION,
        "containers": ["web"] if alone else ["web", "db"],
        "mode": facts.mode,
        "netns": None if facts.mode == "host" else "/run/x/netns/0123",
        "ifname": "eth0" if facts.mode in ("bridge", "awsvpc") else None,
        "hostInterface": "hv0123456789abc" if facts.mode == "bridge" else None,
        "attachment": asdict(facts),
        "interface": asdict(interface) if interface else None,
        "securityGroups": [],
        "ports": [
            {"container": "web", "port": 80, "protocol": "tcp"},
            {"container": "web", "port": "5000-5009", "protocol": "udp"},
        ],
        **more,
    }


def described(*attachments: Body) -> Body:
    """The answer to DescribeNetworks."""
    return {"networks": [BRIDGE, AWSVPC], "attachments": list(attachments)}
