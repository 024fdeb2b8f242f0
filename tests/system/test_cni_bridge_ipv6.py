"""The bridge plugin's IPv6 on the real kernel."""

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CNIError, Code
from cni.kernel import sysctl
from cni.portmap.mappings import Protocol
from tests.system import netlab
from tests.system.netlab import SUBNET, SUBNET6, Lab

GATEWAY6 = ip_address("fd00:210::1")
ANY6 = ip_address("::")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


def addresses(result: Any) -> list[str]:
    return [str(ip.address) for ip in result.ips]


def test_both_families_have_an_address_a_gateway_and_a_default_route(lab: Lab) -> None:
    conf = lab.conf(SUBNET, SUBNET6)
    args, result = lab.attach("a", conf)

    assert addresses(result) == ["10.210.0.2/24", "fd00:210::2/64"]
    assert [str(route.gw) for route in result.routes] == ["10.210.0.1", "fd00:210::1"]
    lab.check(args, result, conf)
    assert "default via fd00:210::1 dev eth0" in lab.ip(args.netns, "-6 route")
    assert "default via 10.210.0.1 dev eth0" in lab.ip(args.netns, "-4 route")
    assert "fd00:210::1/64" in lab.ip(None, "-6 addr show lab0")
    assert lab.on_host(sysctl.read, "ipv6/conf/all/forwarding") == "1"


def test_an_ipv6_address_is_usable_right_after_add(lab: Lab) -> None:
    for name in "abcd":
        args, _ = lab.attach(name, lab.conf(SUBNET6))
        assert args.netns is not None
        assert "tentative" not in lab.ip(args.netns, "-6 addr show eth0 scope global")
        # The link-local one, which comes with the carrier, need not wait either.
        dad = partial(sysctl.read, "ipv6/conf/eth0/accept_dad")
        assert lab.threads.call(args.netns, dad) == "0"
        with lab.listen(lab.host, Protocol.UDP, 7000, ANY6) as listener:
            listener.settimeout(netlab.PROMPT_S)
            lab.talk(args.netns, (GATEWAY6, 7000), listener)


def test_the_host_solicits_the_first_container_on_an_idle_bridge_for_others(lab: Lab) -> None:
    conf = lab.conf(SUBNET6)
    args, _ = lab.attach("a", conf)
    lab.delete(args, conf)
    netlab.wait_gone(lab, netlab.host_end("a"))
    lab.attach("b", conf)

    # With the link-local address; the port's carrier began anew what makes it tentative.
    assert "tentative" not in lab.ip(None, "-6 addr show lab0")


def test_an_ipv6_address_that_is_given_again_is_reached_at_its_new_mac(lab: Lab) -> None:
    # With it the bridge keeps its carrier, at whose loss the host would forget its neighbours.
    lab.attach("other")
    ipam = {"type": "static", "addresses": [{"address": "fd00:210::5/64"}]}
    for name in "ab":
        args, _ = lab.attach(name, lab.conf(ipam=ipam))
        assert args.netns is not None
        with lab.listen(args.netns, Protocol.UDP, 7000, ANY6) as listener:
            lab.talk(lab.host, (ip_address("fd00:210::5"), 7000), listener)
        lab.delete(args, lab.conf(ipam=ipam))
        netlab.wait_gone(lab, netlab.host_end(name))  # till then two have the address


def test_ipv6_is_switched_on_where_the_host_has_it_off(lab: Lab) -> None:
    lab.on_host(sysctl.ensure, "ipv6/conf/default/disable_ipv6", "1")
    args = lab.args("a")
    lab.on_host(lab.context.namespaces.create, args.netns)
    off = partial(sysctl.ensure, "ipv6/conf/all/disable_ipv6", "1")
    lab.threads.call(args.netns, off)

    _, result = lab.attach("a", lab.conf(SUBNET6))

    assert addresses(result) == ["fd00:210::2/64"]


def test_a_host_that_listens_to_routers_does_so_as_a_router_and_not_to_containers(
    lab: Lab,
) -> None:
    assert lab.on_host(sysctl.read, "ipv6/conf/wan/accept_ra") == "1"

    lab.attach("a", lab.conf(SUBNET6))

    assert lab.on_host(sysctl.read, "ipv6/conf/wan/accept_ra") == "2"
    for name in ("lab0", netlab.host_end("a")):
        assert lab.on_host(sysctl.read, f"ipv6/conf/{name}/accept_ra") == "0"


def test_with_enabledad_add_waits_until_the_address_is_known_to_be_its_own(lab: Lab) -> None:
    args, _ = lab.attach("a", lab.conf(SUBNET6, enabledad=True))

    shown = lab.ip(args.netns, "-6 addr show eth0 scope global")
    assert "fd00:210::2/64" in shown
    assert "tentative" not in shown


def test_with_enabledad_an_address_that_somebody_else_has_fails_add(lab: Lab) -> None:
    lab.attach(
        "thief", lab.conf(ipam={"type": "static", "addresses": [{"address": "fd00:210::2/64"}]})
    )

    with pytest.raises(CNIError, match=r"fd00:210::2/64: .*DADFAILED") as caught:
        lab.attach("a", lab.conf(SUBNET6, enabledad=True))

    assert caught.value.code == Code.TRY_AGAIN_LATER
    assert netlab.host_end("a") not in netlab.host_names(lab)
    assert lab.leases() == []
