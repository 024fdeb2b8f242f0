"""The tree that latency and loss are made of, and that it is there as a whole or not at all."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from cni.errors import CNIError, Code
from cni.faults import shaping
from cni.faults.shaping import Shaping
from tests.unit.cni.faults.trafficcontrol import TOP, Qdisc, TrafficControl

ETH, WAN = 7, 8
ALL = (ip_network("0.0.0.0/0"), ip_network("::/0"))
LATE = Shaping(ALL, delay_ms=200, jitter_ms=50)
LOST = Shaping(ALL, loss_percent=30)
COMMANDS = 1 + 1 + 10 + 100 + 11 + 2
"""What it takes to make a whole tree for two networks."""


def test_the_root_leaves_alone_what_no_filter_speaks_of() -> None:
    kernel = TrafficControl()
    shaping.start(kernel, [ETH], LATE)
    root = kernel.qdiscs[0]
    assert (root.kind, root.parent, root.handle) == ("prio", TOP, 0x10000)
    assert root.options["bands"] == 3
    assert root.options["priomap"] == [2] * 16


def test_below_its_first_band_are_two_layers_of_ten() -> None:
    kernel = TrafficControl()
    shaping.start(kernel, [ETH], LATE)
    layers = [each for each in kernel.qdiscs[1:] if each.kind == "prio"]
    assert {each.options["bands"] for each in layers} == {10}
    assert [(each.parent, each.handle) for each in layers] == [
        (0x10001, 0x100000),
        *((0x100001 + ten, 0x1000000 + 0x10000 * ten) for ten in range(10)),
    ]


@pytest.mark.parametrize("percent", [1, 10, 11, 99, 100])
def test_a_leaf_is_hit_for_each_percent_of_the_flows(percent: int) -> None:
    kernel = TrafficControl()
    shaping.start(kernel, [ETH], Shaping(ALL, flows_percent=percent, loss_percent=30))
    hit = {each.parent for each in kernel.qdiscs if each.kind == "netem"}
    leaves = [(0x100 + ten << 16) | band for ten in range(10) for band in range(1, 11)]
    assert hit == set(leaves[:percent])
    handles = [each.handle for each in kernel.qdiscs]
    assert len(set(handles)) == len(handles)


def test_delays_are_microseconds_and_losses_percents() -> None:
    kernel = TrafficControl()
    shaping.start(kernel, [ETH, WAN], LATE)
    late = [each.options for each in kernel.qdiscs if each.kind == "netem"]
    assert late == [{"loss": 0, "delay": 200_000, "jitter": 50_000}] * 200
    kernel = TrafficControl()
    shaping.start(kernel, [ETH], LOST)
    lost = [each.options for each in kernel.qdiscs if each.kind == "netem"]
    assert lost == [{"loss": 30}] * 100


def test_a_flow_is_spread_over_both_layers_by_all_that_makes_it_one() -> None:
    kernel = TrafficControl()
    shaping.start(kernel, [ETH], LATE)
    spreading = [each for each in kernel.filters if each["kind"] == "flow"]
    handles = [0x100000, *(0x100 + ten << 16 for ten in range(10))]
    assert [(each["parent"], each["baseclass"]) for each in spreading] == [
        (each, each + 1) for each in handles
    ]
    for each in spreading:
        assert (each["mode"], each["divisor"]) == ("hash", 10)
        assert set(each["keys"].split(",")) == {"src", "dst", "proto", "proto-src", "proto-dst"}


def test_filters_find_destinations_and_exempt_ones_first() -> None:
    kernel = TrafficControl()
    wanted = Shaping(
        networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
        exempt=(ip_network("2001:db8::1"), ip_network("10.1.2.3")),
        delay_ms=1,
    )
    shaping.start(kernel, [ETH], wanted)
    found = [each for each in kernel.filters if each["kind"] == "u32"]
    assert {each["parent"] for each in found} == {0x10000}
    shown = {(each["prio"], each["protocol"], each["target"], each["keys"][0]) for each in found}
    assert shown == {
        (1, 0x0800, 0x10003, "0x0a010203/0xffffffff+16"),
        (2, 0x86DD, 0x10003, "0x20010db8/0xffffffff+24"),
        (3, 0x0800, 0x10001, "0x0a000000/0xff000000+16"),
        (4, 0x86DD, 0x10001, "0x20010db8/0xffffffff+24"),
    }


@pytest.mark.parametrize(
    ("network", "keys"),
    [
        ("0.0.0.0/0", ["0x0/0x0+16"]),
        ("::/0", ["0x0/0x0+24"]),
        ("172.16.0.0/12", ["0xac100000/0xfff00000+16"]),
        ("fd00::/8", ["0xfd000000/0xff000000+24"]),
        ("2001:db8:1::/48", ["0x20010db8/0xffffffff+24", "0x00010000/0xffff0000+28"]),
        (
            "2001:db8::7",
            [
                "0x20010db8/0xffffffff+24",
                "0x00000000/0xffffffff+28",
                "0x00000000/0xffffffff+32",
                "0x00000007/0xffffffff+36",
            ],
        ),
    ],
)
def test_a_network_is_masked_words_of_the_header(network: str, keys: list[str]) -> None:
    assert shaping.keys(ip_network(network)) == keys


@pytest.mark.parametrize(("wanted", "kind"), [(LATE, "latency"), (LOST, "loss")])
def test_what_there_is_is_read_from_the_kernel(wanted: Shaping, kind: str) -> None:
    kernel = TrafficControl(qdiscs=[Qdisc(1, "noqueue", TOP, 0, {})])
    assert shaping.found(kernel) == {}
    shaping.start(kernel, [ETH, WAN], wanted)
    assert shaping.found(kernel) == {ETH: kind, WAN: kind}
    shaping.remove(kernel, ETH)
    assert shaping.found(kernel) == {WAN: kind}
    shaping.remove(kernel, WAN)
    assert [each.index for each in kernel.qdiscs] == [1]
    assert kernel.filters == []
    shaping.remove(kernel, WAN)  # which is fine


@pytest.mark.parametrize("fails_at", range(1, 2 * COMMANDS + 1))
def test_what_fails_half_way_leaves_nothing_on_any_interface(fails_at: int) -> None:
    kernel = TrafficControl(fails_at=fails_at)
    with pytest.raises(CNIError, match="Cannot allocate memory") as caught:
        shaping.start(kernel, [ETH, WAN], LATE)
    assert caught.value.code == Code.IO_FAILURE
    assert (kernel.qdiscs, kernel.filters) == ([], [])


def test_a_tree_is_whole_with_its_last_command_and_not_before() -> None:
    kernel = TrafficControl()
    *steps, last = shaping.steps(ETH, LATE)
    for step in steps:
        kernel.tc(step.command, step.kind, **step.words)
        assert shaping.found(kernel) == {}
    kernel.tc(last.command, last.kind, **last.words)
    assert shaping.found(kernel) == {ETH: "latency"}


def test_what_an_agent_that_was_killed_left_half_made_is_replaced() -> None:
    kernel = TrafficControl()
    for step in list(shaping.steps(ETH, LOST))[:40]:
        kernel.tc(step.command, step.kind, **step.words)
    assert shaping.found(kernel) == {}
    shaping.start(kernel, [ETH], LATE)
    assert shaping.found(kernel) == {ETH: "latency"}
    assert len([each for each in kernel.qdiscs if each.kind == "netem"]) == 100


@pytest.mark.parametrize(
    ("lacking", "what"),
    [
        ("prio", "no qdisc prio: install the package with its module sch_prio"),
        ("netem", "no qdisc netem: install the package with its module sch_netem"),
        ("u32", "no classifier u32: install the package with its module cls_u32"),
        ("flow", "no classifier flow: install the package with its module cls_flow"),
    ],
)
def test_what_the_kernel_lacks_is_named_and_nothing_is_left(lacking: str, what: str) -> None:
    kernel = TrafficControl(lacks=frozenset({lacking}))
    with pytest.raises(CNIError, match=what) as caught:
        shaping.start(kernel, [ETH], LATE)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
    assert (kernel.qdiscs, kernel.filters) == ([], [])


def test_a_root_of_somebody_else_is_left_alone() -> None:
    theirs = Qdisc(ETH, "htb", TOP, 0x10000, {})
    kernel = TrafficControl(qdiscs=[theirs])
    with pytest.raises(CNIError, match="somebody else"):
        shaping.start(kernel, [ETH], LATE)
    assert kernel.qdiscs == [theirs]


@pytest.mark.parametrize(
    "theirs",
    [
        Qdisc(ETH, "prio", TOP, 0x20000, {"bands": 3, "priomap": [2] * 16}),
        Qdisc(ETH, "prio", TOP, 0x10000, {"bands": 3, "priomap": [1, 2, 2, 2, 1, 2] + [0] * 10}),
        Qdisc(ETH, "prio", TOP, 0x10000, {"bands": 4, "priomap": [2] * 16}),
        Qdisc(WAN, "prio", TOP, 0x10000, {"bands": 3, "priomap": [2] * 16}),
    ],
)
def test_only_such_a_tree_is_taken_for_one(theirs: Qdisc) -> None:
    kernel = TrafficControl(qdiscs=[theirs])
    shaping.remove(kernel, ETH)
    assert kernel.qdiscs == [theirs]


def test_what_can_not_be_listed_is_no_answer() -> None:
    kernel = TrafficControl(hidden=True)
    for work in (
        lambda: shaping.found(kernel),
        lambda: shaping.remove(kernel, ETH),
        lambda: shaping.start(kernel, [ETH], LATE),
    ):
        with pytest.raises(CNIError, match="cannot list"):
            work()
