"""This instance as EC2 knows it: how many interfaces fit, and the network that they would be in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from agent.host.interfaces.ec2api import Api
from agent.host.interfaces.provider import InterfaceError

_UNUSABLE = frozenset({"disassociating", "disassociated", "failing", "failed"})
_AMAZON_DNS = "AmazonProvidedDNS"


@dataclass(frozen=True, slots=True)
class Subnet:
    """The networks of a subnet; its router has the first address after the network's own."""

    ipv4: IPv4Network | None
    ipv6: IPv6Network | None


@dataclass(frozen=True, slots=True)
class Ec2Host:
    """What does not change while an instance runs.

    ``subnets`` are those that an interface of it could be in, of which tasks that name none get one
    of ``default_subnets``.
    """

    instance_id: str
    limit: int
    subnets: Mapping[str, Subnet]
    default_subnets: tuple[str, ...]
    default_groups: tuple[str, ...]
    dns_servers: tuple[str, ...]
    dns_search: tuple[str, ...]


async def look(
    api: Api, instance_id: str, *, ours: Collection[str], allowed: Collection[str] = ()
) -> Ec2Host:
    """Asks EC2 about the instance.

    ``ours`` are ids of interfaces that tasks have already, and so don't count against the limit;
    ``allowed`` are the subnets to be used, of which others' zones are left out. Raises
    InterfaceError or InterfacesExhausted.
    """
    instance = await find_instance(api, instance_id)
    foreign = [
        each
        for each in instance["NetworkInterfaces"]
        if each["NetworkInterfaceId"] not in ours and card(each) == 0
    ]
    vpc, zone = instance["VpcId"], instance["Placement"]["AvailabilityZone"]
    subnets = await _subnets(api, vpc, zone)
    chosen = tuple(each for each in allowed if each in subnets)
    if allowed and not chosen:
        raise InterfaceError(
            f"none of HOSTLER_EC2_SUBNETS is in {vpc} and zone {zone}, as {instance_id} is"
        )
    groups = next(
        (each["Groups"] for each in foreign if each["Attachment"]["DeviceIndex"] == 0), ()
    )
    servers, search = await _dns(api, vpc)
    return Ec2Host(
        instance_id=instance_id,
        limit=max(await _capacity(api, instance["InstanceType"]) - len(foreign), 0),
        subnets={each: subnets[each] for each in chosen} if allowed else subnets,
        default_subnets=chosen or (instance["SubnetId"],),
        default_groups=tuple(each["GroupId"] for each in groups),
        dns_servers=servers,
        dns_search=search,
    )


async def find_instance(api: Api, instance_id: str) -> Any:
    """The instance as EC2 describes it. Raises InterfaceError, also where it is unknown."""
    answer = await api.call(
        "describe_instances",
        unless=("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"),
        InstanceIds=[instance_id],
    )
    if answer is None:
        raise InterfaceError(
            f"EC2 knows no instance {instance_id} in this region: check AWS_DEFAULT_REGION and "
            "HOSTLER_EC2_INSTANCE_ID"
        )
    return answer["Reservations"][0]["Instances"][0]


def card(interface: Any) -> int:
    """Number of the network card that an attached interface is on; the big instances have some."""
    return int(interface["Attachment"].get("NetworkCardIndex", 0))


async def _capacity(api: Api, instance_type: str) -> int:
    """Interfaces that fit on the first card, the only one that is used."""
    answer = await api.ask("describe_instance_types", InstanceTypes=[instance_type])
    network = answer["InstanceTypes"][0]["NetworkInfo"]
    first = network.get("NetworkCards", [network])[0]
    return int(first["MaximumNetworkInterfaces"])


async def _subnets(api: Api, vpc: str, zone: str) -> dict[str, Subnet]:
    """The subnets where an interface could be attached: they can't cross zones."""
    filters = [
        {"Name": "vpc-id", "Values": [vpc]},
        {"Name": "availability-zone", "Values": [zone]},
    ]
    answer = await api.ask("describe_subnets", Filters=filters)
    return {each["SubnetId"]: _subnet(each) for each in answer["Subnets"]}


def _subnet(described: Any) -> Subnet:
    ipv6 = [
        IPv6Network(each["Ipv6CidrBlock"])
        for each in described.get("Ipv6CidrBlockAssociationSet", ())
        if each["Ipv6CidrBlockState"]["State"] not in _UNUSABLE
    ]
    ipv4 = described.get("CidrBlock")
    return Subnet(IPv4Network(ipv4) if ipv4 else None, ipv6[0] if ipv6 else None)


async def _dns(api: Api, vpc: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Servers and search list of the VPC's DHCP options; Amazon's server is the VPC's base + 2."""
    described = (await api.ask("describe_vpcs", VpcIds=[vpc]))["Vpcs"][0]
    amazon = str(IPv4Network(described["CidrBlock"])[2])
    options: dict[str, list[str]] = {}
    if described["DhcpOptionsId"] != "default":
        ids = [described["DhcpOptionsId"]]
        answer = await api.ask("describe_dhcp_options", DhcpOptionsIds=ids)
        for each in answer["DhcpOptions"][0]["DhcpConfigurations"]:
            options[each["Key"]] = [value["Value"] for value in each["Values"]]
    servers = options.get("domain-name-servers", [_AMAZON_DNS])
    # One value may hold several domains; Linux takes them apart at spaces.
    search = " ".join(options.get("domain-name", ())).split()
    return tuple(amazon if each == _AMAZON_DNS else each for each in servers), tuple(search)
