"""CHECK of the bridge plugin on the real kernel: what it finds, and what it tolerates."""

import dataclasses
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from cni.errors import CNIError, Code
from cni.spec import Interface, Result
from tests.system import netlab
from tests.system.netlab import Lab

A = netlab.host_end("a")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with netlab.lab(tmp_path) as built:
        yield built


@pytest.mark.parametrize(
    "damage",
    [
        "link set eth0 down",
        "addr flush dev eth0",
        "route del default",
        "link set eth0 address 02:00:00:00:00:99",
    ],
)
def test_check_finds_damage_inside(lab: Lab, damage: str) -> None:
    args, result = lab.attach("a")
    lab.ip(args.netns, damage)

    with pytest.raises(CNIError) as caught:
        lab.check(args, result)
    assert caught.value.code == Code.CHECK_FAILED


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (f"link set {A} nomaster", "no port of lab0"),
        (f"link del {A}", f"{A} is not there"),
        ("addr flush dev lab0", r"lab0 has lost its address 10\.210\.0\.1/24"),
        ("link set lab0 address 02:00:00:00:00:77", "lab0 was replaced"),
    ],
)
def test_check_finds_damage_on_the_host(lab: Lab, damage: str, words: str) -> None:
    args, result = lab.attach("a")
    lab.ip(None, damage)

    with pytest.raises(CNIError, match=words) as caught:
        lab.check(args, result)
    assert caught.value.code == Code.CHECK_FAILED


def test_check_finds_a_lost_lease(lab: Lab) -> None:
    args, result = lab.attach("a")
    (lab.root / "leases" / "lab" / "10.210.0.2").unlink()

    with pytest.raises(CNIError, match="holds no address"):
        lab.check(args, result)


def test_check_tolerates_what_later_plugins_add_and_move(lab: Lab) -> None:
    args, result = lab.attach("a")
    lab.ip(args.netns, "link add bwp0 type ifb")
    lab.ip(args.netns, "addr add 192.0.2.77/32 dev bwp0")
    lab.ip(args.netns, "route del default")
    lab.ip(args.netns, "route add default via 10.210.0.1 dev eth0 table 100")
    other = dataclasses.replace(result.ips[0], address=IPv4Interface("192.0.2.77/32"), interface=3)
    more = Result(
        (*result.interfaces, Interface("bwp0", sandbox=str(args.netns))),
        (*result.ips, other),
        result.routes,
    )

    lab.check(args, more)


def test_check_wants_the_result_of_add(lab: Lab) -> None:
    args, result = lab.attach("a")
    for prev in (None, dataclasses.replace(result, interfaces=result.interfaces[:2])):
        with pytest.raises(CNIError, match="result of ADD") as caught:
            lab.check(args, prev)
        assert caught.value.code == Code.INVALID_CONFIG
