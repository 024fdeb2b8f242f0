"""What the instance, its zone and its VPC allow."""

from __future__ import annotations

import pytest

from agent.config import ConfigError
from agent.host.interfaces.choice import open_provider
from agent.host.interfaces.provider import InterfaceError
from tests.unit.host.interfaces.cloud import REGION, Cloud, cloud, task


async def test_the_limit_is_what_the_instance_can_hold_beside_others(aws: Cloud) -> None:
    assert (await aws.provider()).limit == 2
    assert (await aws.provider(HOSTLER_ENI_LIMIT="1")).limit == 1
    await (await aws.provider()).acquire(task(1))
    assert (await aws.provider()).limit == 2
    second = aws.ec2.create_network_interface(SubnetId=aws.subnets[0])["NetworkInterface"]
    aws.ec2.attach_network_interface(
        InstanceId=aws.instance, NetworkInterfaceId=second["NetworkInterfaceId"], DeviceIndex=7
    )
    assert (await aws.provider()).limit == 1


async def test_only_subnets_of_the_instances_zone_can_be_named(aws: Cloud) -> None:
    provider = await aws.provider()
    assert set(provider.subnets) == set(aws.subnets[:2])
    with pytest.raises(InterfaceError, match=f"no interface is in subnet {aws.subnets[2]}"):
        await provider.acquire(task(1, aws.subnets[2]))


async def test_the_settings_choose_among_the_subnets_of_all_zones(aws: Cloud) -> None:
    provider = await aws.provider(HOSTLER_EC2_SUBNETS=",".join(aws.subnets[1:]))
    assert set(provider.subnets) == {aws.subnets[1]}
    assert (await provider.acquire(task(1))).subnet == aws.subnets[1]
    with pytest.raises(InterfaceError, match=f"none of HOSTLER_EC2_SUBNETS is in {aws.vpc}"):
        await aws.provider(HOSTLER_EC2_SUBNETS=aws.subnets[2])


async def test_security_groups_are_the_tasks_else_the_settings_else_the_instances(
    aws: Cloud,
) -> None:
    task_group, set_group = (
        aws.ec2.create_security_group(GroupName=name, Description=name, VpcId=aws.vpc)["GroupId"]
        for name in ("task", "set")
    )
    of_instance = [each["GroupId"] for each in aws.primary()["Groups"]]
    by_instance, by_setting = (
        await aws.provider(),
        await aws.provider(HOSTLER_EC2_SECURITY_GROUPS=set_group),
    )
    await by_instance.acquire(task(1, groups=("web", task_group)))
    await by_instance.acquire(task(2, groups=("web",)))
    await by_setting.acquire(task(3))
    groups = {
        each["TagSet"][0]["Value"]: [group["GroupId"] for group in each["Groups"]]
        for each in aws.interfaces()
    }
    assert groups[task(1).id] == [task_group]
    assert groups[task(2).id] == of_instance
    assert groups[task(3).id] == [set_group]


async def test_an_instance_of_another_region_is_an_error_of_the_settings(aws: Cloud) -> None:
    with pytest.raises(InterfaceError, match=f"no instance {aws.instance} in this region: check"):
        await aws.provider(AWS_DEFAULT_REGION="us-east-1")
    assert REGION != "us-east-1"
    with pytest.raises(ConfigError, match=r"^HOSTLER_ENI_PROVIDER=ec2: EC2 knows no instance"):
        await open_provider(aws.settings(AWS_DEFAULT_REGION="us-east-1"))


@pytest.mark.usefixtures("vpc")
async def test_the_vpcs_own_name_servers_are_used() -> None:
    aws = cloud()
    options = aws.ec2.create_dhcp_options(
        DhcpConfigurations=[
            {"Key": "domain-name-servers", "Values": ["10.0.9.9", "AmazonProvidedDNS"]},
            {"Key": "domain-name", "Values": ["lab.internal corp.internal"]},
        ]
    )["DhcpOptions"]["DhcpOptionsId"]
    aws.ec2.associate_dhcp_options(DhcpOptionsId=options, VpcId=aws.vpc)
    given = await (await aws.provider()).acquire(task(1))
    assert given.dns_servers == ("10.0.9.9", "10.0.0.2")
    assert given.dns_search == ("lab.internal", "corp.internal")
