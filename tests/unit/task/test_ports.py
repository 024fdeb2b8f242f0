"""Ports that are not translated."""

from __future__ import annotations

from agent.task.network import PortBinding
from agent.task.ports import own_ports
from tests.worlds import container


def test_each_mapping_is_its_own_port_or_range() -> None:
    mappings = [
        {"containerPort": 80},
        {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
        {"containerPortRange": "6000-6002"},
    ]
    assert own_ports(container("web", portMappings=mappings)) == (
        PortBinding("tcp", 80, 80),
        PortBinding("udp", 53, 53),
        PortBinding("tcp", 6000, 6000, count=3),
    )


def test_without_mappings_there_are_none() -> None:
    assert own_ports(container("web")) == ()
