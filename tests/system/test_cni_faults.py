"""Network faults in a real kernel, as far as it has what they are made of."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroute2.netlink.exceptions import NetlinkError

from cni.errors import CNIError, Code
from cni.faults import blackhole, shaping
from cni.faults.blackhole import Blackhole
from cni.faults.shaping import Shaping
from cni.firewall import nftcommand
from cni.kernel import rtnetlink
from cni.kernel.netns import NamespaceThread
from tests.system.trafficcontrol import WITHOUT, shapes

TABLE = "lab-faults"
WEB = Blackhole(8080, "tcp", "egress")
DNS = Blackhole(53, "udp", "ingress")
LONGEST_MS = 270_000
"""What tasks may ask for."""

V4 = st.integers(0, 32).flatmap(
    lambda prefix: st.builds(
        lambda bits: IPv4Network((bits, prefix), strict=False), st.integers(0, 2**32 - 1)
    )
)
V6 = st.integers(0, 128).flatmap(
    lambda prefix: st.builds(
        lambda bits: IPv6Network((bits, prefix), strict=False), st.integers(0, 2**128 - 1)
    )
)


def shell(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.timeout(300)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(V4 | V6, max_size=12),
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["ingress", "egress"]),
    st.sampled_from([0, 1, 80, 65535]),
)
def test_any_networks_are_taken_and_what_was_made_is_found(
    thread: NamespaceThread,
    path: Path,
    networks: list[IPv4Network | IPv6Network],
    protocol: str,
    traffic: str,
    port: int,
) -> None:
    hole = Blackhole(port, protocol, traffic)  # type: ignore[arg-type]
    for wanted in (True, False):
        change = (
            partial(blackhole.start, TABLE, hole, networks)
            if wanted
            else partial(blackhole.stop, TABLE, hole)
        )
        for _ in range(2):
            thread.call(path, change)
            assert thread.call(path, partial(blackhole.running, TABLE, hole)) is wanted


def test_a_namespace_has_so_many_blackholes_at_most(thread: NamespaceThread, path: Path) -> None:
    holes = [Blackhole(port, "tcp", "egress") for port in range(blackhole.MOST + 1)]
    for each in holes[:-1]:
        thread.call(path, partial(blackhole.start, TABLE, each, ()))
    with pytest.raises(CNIError, match=f"there are {blackhole.MOST} blackholes already"):
        thread.call(path, partial(blackhole.start, TABLE, holes[-1], ()))
    thread.call(path, partial(blackhole.start, TABLE, holes[0], ()))  # is there, and stays
    thread.call(path, partial(blackhole.stop, TABLE, holes[0]))
    thread.call(path, partial(blackhole.start, TABLE, holes[-1], ()))
    assert thread.call(path, partial(blackhole.running, TABLE, holes[-1]))


def test_the_table_is_there_while_there_are_blackholes(thread: NamespaceThread, path: Path) -> None:
    def tables() -> str:
        return thread.call(path, partial(nftcommand.run, "list", "tables"))

    for hole in (WEB, DNS):
        thread.call(path, partial(blackhole.start, TABLE, hole, []))
    thread.call(path, partial(blackhole.stop, TABLE, WEB))
    assert thread.call(path, partial(blackhole.running, TABLE, DNS))
    assert TABLE in tables()
    thread.call(path, partial(blackhole.stop, TABLE, DNS))
    assert tables() == ""
    for hole in (WEB, DNS):
        thread.call(path, partial(blackhole.start, TABLE, hole, []))
    for _ in range(2):
        thread.call(path, partial(blackhole.stop_all, TABLE))
        assert tables() == ""


@contextmanager
def controlled(thread: NamespaceThread, path: Path) -> Iterator[tuple[Any, int]]:
    """Traffic control of the namespace, and the index of an interface with a route to all."""
    for words in (
        "link add wan type veth peer name lan",
        "address add 10.0.0.1/8 dev wan",
        "address add fd00::1/64 dev wan nodad",
        "link set wan up",
        "link set lan up",
        "route add default via 10.0.0.2",
        "-6 route add default via fd00::2",
        "neigh add 10.0.0.2 lladdr 02:00:00:00:00:09 dev wan",
        "neigh add fd00::2 lladdr 02:00:00:00:00:09 dev wan",
    ):
        thread.call(path, partial(shell, "ip", *words.split()))
    with (
        thread.call(path, rtnetlink.open_socket) as links,
        shaping.controlling(links) as control,
    ):
        yield control, rtnetlink.require_link(links, "wan").index


def test_every_command_can_be_sent(thread: NamespaceThread, path: Path) -> None:
    """Whatever the kernel says to each: what can't be packed is no netlink error."""
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::7"), ip_network("::/0"))
    late = Shaping(networks, networks[:1], 3, delay_ms=LONGEST_MS, jitter_ms=LONGEST_MS)
    with controlled(thread, path) as (control, index):
        for wanted in (late, Shaping(networks, loss_percent=100)):
            for step in shaping.steps(index, wanted):
                with suppress(NetlinkError):
                    control.tc(step.command, step.kind, **step.words)


def test_filters_find_what_is_sent_to_a_network_and_spare_what_is_exempt(
    thread: NamespaceThread, path: Path
) -> None:
    """On a qdisc that every kernel has, in the place of the tree: it counts for each class."""
    wanted = Shaping(
        networks=tuple(map(ip_network, ("11.0.0.0/8", "12.3.4.5", "2001:db8::/33", "fd07::7"))),
        exempt=tuple(map(ip_network, ("11.7.0.0/16", "2001:db8:7::/48"))),
        delay_ms=1,
    )
    sent = {
        1: ["11.6.255.255", "12.3.4.5", "2001:db8:6::1", "2001:db8::", "fd07::7"],
        3: ["11.7.0.1", "11.7.255.255", "2001:db8:7::1"],
        2: ["12.3.4.6", "13.0.0.1", "2001:db8:8000::1", "fd07::8", "2001:db7:ffff::1"],
    }
    with controlled(thread, path) as (control, index):
        control.tc("add", "htb", index=index, handle=0x10000, parent=0xFFFFFFFF, default=2)
        for band in (1, 2, 3):
            more = {"handle": 0x10000 + band, "parent": 0x10000, "rate": "1gbit"}
            control.tc("add-class", "htb", index=index, **more)
        for step in shaping.steps(index, wanted):
            if step.kind == "u32":
                control.tc(step.command, step.kind, **step.words)
        for number, addresses in enumerate(sent.values(), start=1):
            for address in addresses:
                thread.call(path, partial(say, address, number))
        counted = {each["handle"] - 0x10000: packets(each) for each in control.get_classes(index)}
    # Each group says a number of things of its own, so that none can stand in for another.
    expected = {
        handle: number * len(addresses)
        for number, (handle, addresses) in enumerate(sent.items(), start=1)
    }
    assert {handle: counted[handle] for handle in (1, 3)} == {
        handle: expected[handle] for handle in (1, 3)
    }
    assert counted[2] >= expected[2]  # and what the kernel says by itself


def packets(of_class: Any) -> int:
    found: int = of_class.get_attr("TCA_STATS2").get_attr("TCA_STATS_BASIC")["packets"]
    return found


def say(address: str, times: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for _ in range(times):
            sock.sendto(b"x", (address, 9))


LATE = Shaping((ip_network("0.0.0.0/0"),), flows_percent=30, delay_ms=1)


@pytest.mark.skipif(shapes(), reason="this kernel has all that latency and loss need")
def test_what_the_kernel_lacks_is_named_and_nothing_is_left(
    thread: NamespaceThread, path: Path
) -> None:
    with controlled(thread, path) as (control, index):
        before = qdiscs(thread, path)
        with pytest.raises(CNIError, match="the kernel of this host has no") as caught:
            shaping.start(control, [index], LATE)
        assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
        assert qdiscs(thread, path) == before


@pytest.mark.skipif(not shapes(), reason=WITHOUT)
def test_a_tree_is_made_and_removed(thread: NamespaceThread, path: Path) -> None:
    with (
        controlled(thread, path) as (control, index),
        thread.call(path, rtnetlink.open_socket) as links,
    ):
        before = qdiscs(thread, path)
        shaping.start(control, [index], LATE)
        assert shaping.found(control) == {index: "latency"}
        assert shaping.suspected(links)
        assert qdiscs(thread, path).count("netem") == 30
        shaping.remove(control, index)
        assert qdiscs(thread, path) == before
        assert not shaping.suspected(links)
        shaping.start(control, [index], Shaping(LATE.networks, loss_percent=100))
        assert shaping.found(control) == {index: "loss"}


def qdiscs(thread: NamespaceThread, path: Path) -> str:
    """Without what they count."""
    listed = thread.call(path, partial(shell, "tc", "qdisc", "show"))
    return re.sub(r"_stat \d+", "", listed)


def test_a_root_of_somebody_else_is_no_tree(thread: NamespaceThread, path: Path) -> None:
    with controlled(thread, path) as (control, index):
        control.tc("add", "htb", index=index, handle=0x10000, parent=0xFFFFFFFF, default=2)
        before = qdiscs(thread, path)
        shaping.remove(control, index)
        assert shaping.found(control) == {}
        with thread.call(path, rtnetlink.open_socket) as links:
            assert not shaping.suspected(links)
        with pytest.raises(CNIError, match=r"somebody else|has no qdisc prio"):
            shaping.start(control, [index], Shaping((ip_network("0.0.0.0/0"),), delay_ms=1))
        assert qdiscs(thread, path) == before
