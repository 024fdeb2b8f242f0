"""What is the same for all providers."""

from __future__ import annotations

import pytest

from agent.host.interfaces.provider import InterfaceError, NoInterfaces, present
from agent.task.model import TaskId
from agent.task.network import NetworkInterface
from cni.kernel.linkwatch import LinkTable, SeenLink
from tests import worlds

MAC = "0a:00:00:00:00:01"
TABLE = LinkTable([SeenLink(2, "eth1", MAC), SeenLink(3, "eth1.5", MAC, kind="vlan", parent=2)])


@pytest.mark.parametrize(
    ("interface", "there"),
    [
        (NetworkInterface("eni-1", "nic", mac=MAC), True),
        (NetworkInterface("eni-1", "nic", mac=MAC, name="eth9"), True),
        (NetworkInterface("eni-1", "nic", name="eth1"), True),
        (NetworkInterface("eni-1", "nic", mac="0a:00:00:00:00:02", name="eth1"), False),
        (NetworkInterface("eni-1", "nic", name="eth2"), False),
        (NetworkInterface("eni-1", "vlan", mac="02:00:00:00:00:07", parent="eth1", vlan=7), True),
        (NetworkInterface("eni-1", "vlan", mac="02:00:00:00:00:07", parent=MAC, vlan=7), True),
        (NetworkInterface("eni-1", "vlan", mac=MAC, parent="eth2", vlan=7), False),
        (NetworkInterface("eni-1", "macvlan", mac=MAC, parent="eth1.5"), True),
        (NetworkInterface("eni-1", "macvlan", mac=MAC, parent="eth2"), False),
    ],
)
def test_an_interface_can_be_attached_once_its_device_is_there(
    interface: NetworkInterface, *, there: bool
) -> None:
    assert present(interface, TABLE) is there


async def test_without_a_provider_the_error_says_which_settings_give_interfaces() -> None:
    provider = NoInterfaces()
    assert provider.limit == 0
    with pytest.raises(InterfaceError, match=r"HOSTLER_ENIS.*HOSTLER_ENI_PARENT.*=ec2"):
        await provider.acquire(worlds.task())
    await provider.release(TaskId("1" * 32))
    assert not provider.held(TaskId("1" * 32))
    assert await provider.release_all_but([]) == []
