"""The ports of a container as its definition names them."""

from __future__ import annotations

from agent.task.definition import ContainerDefinition, port_range
from agent.task.network import PortBinding


def own_ports(container: ContainerDefinition) -> tuple[PortBinding, ...]:
    """Its bindings where nothing is translated (host, awsvpc): host ports are container ports."""
    spans = [(each.protocol, port_range(each)) for each in container.port_mappings]
    return tuple(
        PortBinding(protocol, span[0], span[0], count=span[1] - span[0] + 1)
        for protocol, span in spans
        if span is not None
    )
