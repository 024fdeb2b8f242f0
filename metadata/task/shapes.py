"""The parts that container and task objects share, as JSON: limits, networks, ports and so on.

Pure. Which whole has which part is in `render`; the rules are those of the ECS task metadata
endpoint.
"""

from metadata.encoding import Json, optional_time, present
from metadata.source import (
    HealthFacts,
    InterfaceFacts,
    LimitsFacts,
    NetworkFacts,
    PortFacts,
    VolumeFacts,
)

_UNITS_PER_VCPU = 1024
_LEAST_CONTAINER_CPU = 2  # the kernel's smallest cpu.shares


def container_limits(limits: LimitsFacts) -> Json:
    """`Limits` of a container: both keys always there, CPU in units, memory 0 when unset."""
    return {
        "CPU": max(limits.cpu_units, _LEAST_CONTAINER_CPU),
        "Memory": limits.memory_mib,
    }


def task_limits(limits: LimitsFacts | None) -> Json:
    """`Limits` of a task: CPU in vCPU, memory in MiB; None without a task size."""
    if limits is None:
        return None
    vcpu = limits.cpu_units / _UNITS_PER_VCPU
    shown = int(vcpu) if vcpu.is_integer() else vcpu
    return present({"CPU": shown or None, "Memory": limits.memory_mib or None}) or None


def port_v3(port: PortFacts) -> dict[str, Json]:
    """One element of `Ports`."""
    return present(
        {
            "ContainerPort": port.container_port or None,
            "Protocol": port.protocol or None,
            "HostPort": port.host_port or None,
        }
    )


def port_v4(port: PortFacts) -> Json:
    """One element of `Ports`; version 4 adds the address it is bound to."""
    return present({**port_v3(port), "HostIp": port.host_ip or None})


def network_v3(network: NetworkFacts) -> Json:
    """One element of `Networks`; IPv6 addresses only of an interface of the task's own."""
    awsvpc = network.interface is not None
    return present(
        {
            "NetworkMode": network.mode or None,
            "IPv4Addresses": _ipv4(network),
            "IPv6Addresses": network.ipv6 or None if awsvpc else None,
        }
    )


def network_v4(network: NetworkFacts) -> Json:
    """One element of `Networks`; version 4 adds what awsvpc tells about the interface."""
    return present(
        {
            "NetworkMode": network.mode or None,
            "IPv4Addresses": _ipv4(network),
            "IPv6Addresses": network.ipv6 or None,
            **({} if network.interface is None else _interface(network.interface)),
        }
    )


def _ipv4(network: NetworkFacts) -> Json:
    """Without an interface of its own there is exactly one string, empty in host mode."""
    if network.interface is not None:
        return network.ipv4 or None
    return network.ipv4[:1] or ("",)


def _interface(interface: InterfaceFacts) -> dict[str, Json]:
    """The mixed spelling of the keys is ECS's own."""
    return {
        "AttachmentIndex": 0,
        "MACAddress": interface.mac or None,
        "IPv4SubnetCIDRBlock": interface.ipv4_subnet or None,
        "IPv6SubnetCIDRBlock": interface.ipv6_subnet or None,
        "DomainNameServers": interface.dns_servers or None,
        "DomainNameSearchList": interface.dns_search or None,
        "PrivateDNSName": interface.private_dns_name or None,
        "SubnetGatewayIpv4Address": interface.ipv4_gateway or None,
        "SubnetGatewayIpv6Address": interface.ipv6_gateway or None,
    }


def health(facts: HealthFacts | None) -> Json:
    """`Health`, whose keys are lower case; empty until the first result of the check."""
    if facts is None:
        return None
    return present(
        {
            "status": facts.status or None,
            "statusSince": optional_time(facts.since),
            "exitCode": facts.exit_code or None,
            "output": facts.output or None,
        }
    )


def volume(facts: VolumeFacts) -> Json:
    """One element of `Volumes`."""
    return present(
        {
            "DockerName": facts.name or None,
            "Source": facts.source or None,
            "Destination": facts.destination or None,
        }
    )
