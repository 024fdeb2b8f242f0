"""Settings of the kernel that keep packets from passing, and the file that says so."""

from __future__ import annotations

import pytest

from agent.host.checkup import forwarding
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
DEFAULT = "\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\n"
NEAR = "\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"


@pytest.fixture
def serving(host: Host) -> Host:
    """A host with a bridge that forwards."""
    host.folder("/proc/sys/net/ipv4/conf/hostler0")
    host.write("/proc/sys/net/ipv4/ip_forward", "1\n")
    host.write("/proc/net/route", HEAD + "eth0" + DEFAULT + "eth0" + NEAR + "eth1" + NEAR)
    return host


def test_a_host_that_forwards(serving: Host) -> None:
    outcomes = list(forwarding.check(serving.subject))
    assert findings(outcomes) == []
    assert facts(outcomes) == ["net.ipv4.ip_forward is on", "default routes: eth0"]


def test_a_host_that_does_not_and_need_not(host: Host) -> None:
    host.write("/proc/sys/net/ipv4/ip_forward", "0\n")
    assert facts(forwarding.check(host.subject)) == ["no task has needed hostler0 so far"]


def test_a_host_that_was_told_not_to(serving: Host) -> None:
    serving.write("/proc/sys/net/ipv4/ip_forward", "0\n")
    outcomes = list(forwarding.check(serving.subject))
    assert errors(outcomes) == [
        "net.ipv4.ip_forward is 0: containers on hostler0 reach nothing beyond this host"
    ]
    assert cure(outcomes) == "run 'sysctl -w net.ipv4.ip_forward=1'"
    serving.write("/etc/sysctl.d/50-harden.conf", "# hard\n-net/ipv4/ip_forward = 0\n")
    serving.write("/etc/sysctl.conf", "#net.ipv4.ip_forward=0\nnet.ipv4.ip_forward=1\n")
    assert cure(forwarding.check(serving.subject)) == (
        "run 'sysctl -w net.ipv4.ip_forward=1', and correct /etc/sysctl.d/50-harden.conf,"
        " which says 0"
    )


def test_ipv6_counts_where_tasks_have_it(serving: Host) -> None:
    from ipaddress import IPv6Network

    serving.write("/proc/sys/net/ipv6/conf/all/forwarding", "0\n")
    assert findings(forwarding.check(serving.subject)) == []
    serving.set(bridge_subnet6=IPv6Network("fd00::/64"))
    (what,) = errors(forwarding.check(serving.subject))
    assert what.startswith("net.ipv6.conf.all.forwarding is 0")


@pytest.mark.parametrize(
    ("everywhere", "one", "wrong"), [(0, 0, False), (0, 1, True), (1, 0, True), (2, 1, False)]
)
def test_strict_filters_are_in_the_way_of_a_host_with_two_ways_out(
    serving: Host, everywhere: int, one: int, wrong: bool
) -> None:
    serving.write("/proc/sys/net/ipv4/conf/all/rp_filter", str(everywhere))
    serving.write("/proc/sys/net/ipv4/conf/eth1/rp_filter", str(one))
    assert findings(forwarding.check(serving.subject)) == []
    serving.write("/proc/net/route", HEAD + "eth0" + DEFAULT + "eth1" + DEFAULT)
    outcomes = list(forwarding.check(serving.subject))
    assert bool(warnings(outcomes)) == wrong
    if wrong:
        assert "rp_filter=2" in cure(outcomes)
