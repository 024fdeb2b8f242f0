"""Interfaces from EC2: what is made and cleaned up, however it is cut short or refused."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest

from agent.host.interfaces import ec2api
from agent.host.interfaces.ec2 import Pace, open_ec2
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from tests.unit.host.interfaces.cloud import Cloud, cloud, task


def attached(interface: Any) -> tuple[str, int]:
    return interface["Attachment"]["InstanceId"], interface["Attachment"]["DeviceIndex"]


async def test_a_task_gets_an_interface_of_its_own(aws: Cloud) -> None:
    provider = await aws.provider()
    given = await provider.acquire(task(1))
    (made,) = aws.interfaces()
    assert attached(made) == (aws.instance, 1)
    assert (given.id, given.mac, given.kind) == (
        made["NetworkInterfaceId"],
        made["MacAddress"],
        "nic",
    )
    assert given.addresses == (f"{made['PrivateIpAddress']}/24",)
    assert given.gateways == ("10.0.1.1",)
    assert given.dns_servers == ("10.0.0.2",)
    assert given.subnet == aws.subnets[0]
    assert given.hostname == made["PrivateDnsName"] != ""
    assert {each["Key"]: each["Value"] for each in made["TagSet"]} == {
        "hostler:task": task(1).id,
        "hostler:agent": f"{aws.instance}:/run/hostler",
    }
    (asked,) = aws.sent("ModifyNetworkInterfaceAttribute")
    assert asked["Attachment.DeleteOnTermination"] == "true"


@pytest.mark.usefixtures("vpc")
async def test_a_dual_stack_subnet_gives_addresses_of_both_families() -> None:
    given = await (await cloud(ipv6=True).provider()).acquire(task(1))
    ipv4, ipv6 = map(ip_interface, given.addresses)
    assert (ipv4.version, ipv6.version, ipv6.network.prefixlen) == (4, 6, 64)
    assert given.gateways == ("10.0.1.1", str(ipv6.network[1]))


async def test_a_task_keeps_its_interface_when_asked_again(aws: Cloud) -> None:
    first = await (await aws.provider()).acquire(task(1))
    later = await aws.provider()
    assert later.held(task(1).id)
    assert not later.held(task(2).id)
    assert await later.acquire(task(1)) == first
    assert len(aws.interfaces()) == 1


async def test_a_crash_between_creation_and_attachment_is_made_good(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("AttachNetworkInterface", "RequestLimitExceeded")
    with pytest.raises(InterfacesExhausted):
        await provider.acquire(task(1))
    (made,) = aws.interfaces()
    assert "Attachment" not in made

    later = await aws.provider()
    given = await later.acquire(task(1))
    (now,) = aws.interfaces()
    assert given.id == made["NetworkInterfaceId"] == now["NetworkInterfaceId"]
    assert attached(now) == (aws.instance, 1)


async def test_a_crash_between_creation_and_attachment_leaves_nothing_for_good(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("AttachNetworkInterface", "UnauthorizedOperation")
    with pytest.raises(InterfaceError):
        await provider.acquire(task(1))
    (made,) = aws.interfaces()

    later = await aws.provider()
    assert await later.release_all_but([task(2).id]) == [made["NetworkInterfaceId"]]
    assert aws.interfaces() == []
    assert not later.held(task(1).id)


async def test_a_creation_whose_answer_was_lost_is_found(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.stumbles("CreateNetworkInterface")
    with pytest.raises(InterfacesExhausted, match="Unavailable"):
        await provider.acquire(task(1))
    given = await provider.acquire(task(1))
    (made,) = aws.interfaces()
    assert given.id == made["NetworkInterfaceId"]


async def test_an_attachment_whose_answer_was_lost_is_found(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.stumbles("AttachNetworkInterface")
    with pytest.raises(InterfacesExhausted, match="Unavailable"):
        await provider.acquire(task(1))
    await provider.acquire(task(1))
    assert len(aws.sent("AttachNetworkInterface")) == 1
    assert aws.sent("ModifyNetworkInterfaceAttribute")


async def test_a_creation_is_named_so_that_a_repetition_is_the_same(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.stumbles("CreateNetworkInterface")
    with pytest.raises(InterfacesExhausted):
        await provider.acquire(task(1))
    (made,) = aws.interfaces()
    # EC2 may take some seconds to list what it has made.
    aws.ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    await provider.acquire(task(1))
    lost, again = aws.sent("CreateNetworkInterface")
    assert lost["ClientToken"] == again["ClientToken"]
    assert len(lost["ClientToken"]) <= 64


async def test_releasing_deletes_the_interface_and_is_repeatable(aws: Cloud) -> None:
    provider = await aws.provider()
    await provider.acquire(task(1))
    await provider.acquire(task(2))
    assert [attached(each)[1] for each in aws.interfaces()] == [1, 2]
    await provider.release(task(1).id)
    assert [attached(each)[1] for each in aws.interfaces()] == [2]
    assert not provider.held(task(1).id)
    await provider.release(task(1).id)
    await provider.acquire(task(3))
    assert sorted(attached(each)[1] for each in aws.interfaces()) == [1, 2]


async def test_a_crash_between_detachment_and_deletion_is_made_good(aws: Cloud) -> None:
    provider = await aws.provider()
    await provider.acquire(task(1))
    aws.fails("DeleteNetworkInterface", "RequestLimitExceeded")
    with pytest.raises(InterfacesExhausted):
        await provider.release(task(1).id)
    assert provider.held(task(1).id)

    await (await aws.provider()).release(task(1).id)
    assert aws.interfaces() == []


async def test_an_interface_that_somebody_deleted_is_released_all_the_same(aws: Cloud) -> None:
    provider = await aws.provider()
    await provider.acquire(task(1))
    aws.fails("DetachNetworkInterface", "InvalidAttachmentID.NotFound")
    (made,) = aws.interfaces()
    aws.ec2.detach_network_interface(AttachmentId=made["Attachment"]["AttachmentId"])
    aws.fails("DeleteNetworkInterface", "InvalidNetworkInterfaceID.NotFound")
    await provider.release(task(1).id)
    assert not provider.held(task(1).id)


async def test_a_device_that_is_not_let_go_is_taken_by_force(aws: Cloud) -> None:
    provider = await aws.provider(Pace(poll_s=0.01, force_after_s=0.02, give_up_after_s=20))
    await provider.acquire(task(1))
    aws.ignores("DetachNetworkInterface", times=1)
    await provider.release(task(1).id)
    assert [each["Force"] for each in aws.sent("DetachNetworkInterface")] == ["false", "true"]
    assert aws.interfaces() == []


async def test_a_device_that_stays_is_kept_in_mind(aws: Cloud) -> None:
    provider = await aws.provider()
    given = await provider.acquire(task(1))
    aws.ignores("DetachNetworkInterface", times=2)
    with pytest.raises(InterfacesExhausted, match=f"^{given.id} does not become detached"):
        await provider.release(task(1).id)
    assert provider.held(task(1).id)


async def test_two_agents_on_an_instance_leave_each_others_interfaces_alone(aws: Cloud) -> None:
    other = await aws.provider(HOSTLER_RUN_DIR="/run/other")
    await other.acquire(task(1))
    ours = await aws.provider()
    assert not ours.held(task(1).id)
    assert await ours.release_all_but([]) == []
    assert len(aws.interfaces()) == 1


async def test_an_index_that_was_taken_meanwhile_is_passed_over(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("AttachNetworkInterface", "InvalidParameterValue")
    await provider.acquire(task(1))
    assert [each["DeviceIndex"] for each in aws.sent("AttachNetworkInterface")] == ["1", "2"]


async def test_an_attachment_that_no_index_allows_ends_in_ec2s_own_words(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("AttachNetworkInterface", *["InvalidParameterValue"] * 9)
    with pytest.raises(InterfaceError, match=r"AttachNetworkInterface: it is so \(InvalidParam"):
        await provider.acquire(task(1))


@pytest.mark.parametrize(
    ("operation", "code", "error", "text"),
    [
        ("CreateNetworkInterface", "RequestLimitExceeded", InterfacesExhausted, "RequestLimit"),
        ("CreateNetworkInterface", "NetworkInterfaceLimitExceeded", InterfacesExhausted, "it is"),
        ("AttachNetworkInterface", "AttachmentLimitExceeded", InterfacesExhausted, "it is so"),
        ("DescribeNetworkInterfaces", "Unavailable", InterfacesExhausted, "Unavailable"),
        (
            "CreateNetworkInterface",
            "UnauthorizedOperation",
            InterfaceError,
            "allow ec2:CreateNetworkInterface to the role",
        ),
        ("CreateNetworkInterface", "InvalidGroup.NotFound", InterfaceError, "it is so"),
    ],
)
async def test_what_may_pass_is_told_from_what_will_not(
    aws: Cloud, operation: str, code: str, error: type[Exception], text: str
) -> None:
    provider = await aws.provider()
    aws.fails(operation, code)
    with pytest.raises(error, match=rf"^EC2 refuses {operation}: .*{text}"):
        await provider.acquire(task(1))
    assert provider.held(task(1).id)
    await provider.release(task(1).id)
    assert aws.interfaces() == []


async def test_a_call_that_may_be_repeated_is(aws: Cloud) -> None:
    provider = await open_ec2(
        aws.settings(), connect=lambda region: aws.watch(ec2api.client(region))
    )
    aws.requests.clear()
    aws.stumbles("DescribeNetworkInterfaces")
    await provider.acquire(task(1))
    assert len(aws.sent("DescribeNetworkInterfaces")) == 2


async def test_a_full_subnet_is_passed_over(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("CreateNetworkInterface", "InsufficientFreeAddressesInSubnet")
    given = await provider.acquire(task(1, aws.subnets[0], aws.subnets[1]))
    assert given.subnet == aws.subnets[1]
    assert given.gateways == ("10.0.2.1",)
    first, second = aws.sent("CreateNetworkInterface")
    assert first["ClientToken"] != second["ClientToken"]


async def test_when_all_subnets_are_full_they_are_named(aws: Cloud) -> None:
    provider = await aws.provider()
    aws.fails("CreateNetworkInterface", "InsufficientFreeAddressesInSubnet")
    with pytest.raises(InterfacesExhausted, match=f"free in subnet {aws.subnets[1]}$"):
        await provider.acquire(task(1, aws.subnets[1]))
