"""Messages for links that this machine's kernel may not take: as another library reads them."""

import struct
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from cni.kernel import rtnetlink
from cni.kernel.netlink import Request
from cni.kernel.rtnetlink import Child

CHILD = Child(netns_fd=9, index=1 << 28, name="eth0", parent=3, mac="02:00:00:00:00:07", mtu=1400)


def decoded(request: Request) -> Any:
    length = 16 + len(request.body)
    header = struct.pack("=IHHII", length, request.type, request.flags, 1, 0)
    message = ifinfmsg(header + request.body)
    message.decode()
    return message


def test_a_vlan_is_asked_for_with_all_it_is_to_be() -> None:
    message = decoded(rtnetlink.new_vlan(CHILD, 100))

    assert message["index"] == 1 << 28
    assert message.get("ifname") == "eth0"
    assert message.get("address") == "02:00:00:00:00:07"
    assert (message.get("link"), message.get("net_ns_fd"), message.get("mtu")) == (3, 9, 1400)
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "vlan"
    assert message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_VLAN_ID") == 100


def test_what_is_not_said_of_a_child_is_left_to_the_kernel() -> None:
    message = decoded(rtnetlink.new_vlan(Child(9, 1 << 28, "eth0", 3), 100))

    assert message.get("address") is None
    assert message.get("mtu") is None
