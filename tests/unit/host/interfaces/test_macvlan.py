"""Children of one parent: how many there are, what they are called, whence their addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import load
from agent.host.interfaces.claims import Claims
from agent.host.interfaces.macvlan import Macvlan, ipam
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.settings import Settings
from agent.task.model import Task
from tests import worlds


def settings(subnet: str = "10.0.5.0/24", **more: str) -> Settings:
    given = {f"HOSTLER_ENI_{name.upper()}": value for name, value in more.items()}
    return load({"HOSTLER_ENI_PARENT": "eth1", "HOSTLER_ENI_SUBNET": subnet, **given}, {}, ())


def task(number: int, *subnets: str) -> Task:
    return replace(worlds.task(task_id=f"{number:032}"), subnets=subnets)


async def test_a_childs_id_and_mac_follow_from_the_task(tmp_path: Path) -> None:
    first = await Macvlan(settings(), Claims(tmp_path / "a")).acquire(task(1))
    again = await Macvlan(settings(), Claims(tmp_path / "b")).acquire(task(1))
    other = await Macvlan(settings(), Claims(tmp_path / "b")).acquire(task(2))
    assert first == again
    assert (first.kind, first.parent, first.addresses) == ("macvlan", "eth1", ())
    assert first.id != other.id
    assert first.mac != other.mac


async def test_there_are_no_more_children_than_addresses(tmp_path: Path) -> None:
    provider = Macvlan(settings("10.0.5.0/30"), Claims(tmp_path))
    assert provider.limit == 1
    held = await provider.acquire(task(1))
    assert await provider.acquire(task(1)) == held
    with pytest.raises(InterfacesExhausted, match=f"all 1 .* on eth1 .*: {held.id} by task"):
        await provider.acquire(task(2))
    await provider.release(task(1).id)
    assert not provider.held(task(1).id)
    await provider.acquire(task(2))
    assert provider.held(task(2).id)


async def test_a_task_may_name_the_network_and_no_other(tmp_path: Path) -> None:
    provider = Macvlan(settings("10.0.5.0/24,fd00:5::/64"), Claims(tmp_path))
    assert (await provider.acquire(task(1, "fd00:5::/64"))).subnet == "10.0.5.0/24"
    with pytest.raises(InterfaceError, match=r"the subnets here are 10\.0\.5\.0/24, fd00:5::/64"):
        await provider.acquire(task(2, "10.0.6.0/24"))


async def test_children_of_tasks_that_are_gone_are_named(tmp_path: Path) -> None:
    provider = Macvlan(settings(), Claims(tmp_path))
    gone = await provider.acquire(task(1))
    await provider.acquire(task(2))
    assert await provider.release_all_but([task(2).id]) == [gone.id]


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (settings(), 253),
        (settings(range="10.0.5.64-10.0.5.127"), 64),
        (settings(range="10.0.5.64-10.0.5.127", gateway="10.0.5.100"), 63),
        (settings(range="10.0.5.0-10.0.5.255"), 253),
        (settings(range="10.0.5.1-10.0.5.1"), 0),
        (settings(limit="5"), 5),
        (settings(limit="500"), 253),
        (settings("10.0.5.0/24,fd00:5::/64"), 253),
        (settings("10.0.5.0/24,fd00:5::/64", range="fd00:5::10-fd00:5::1f"), 16),
        (settings("fd00:5::/126"), 2),
    ],
)
def test_the_limit_is_the_number_of_addresses(tmp_path: Path, given: Settings, limit: int) -> None:
    assert Macvlan(given, Claims(tmp_path)).limit == limit


def test_ipam_leases_from_the_ranges_that_were_set() -> None:
    given = settings("10.0.5.0/24,fd00:5::/64", range="10.0.5.64-10.0.5.127", gateway="10.0.5.254")
    assert ipam(given, Path("/run/x")) == {
        "type": "hostler-ipam",
        "dataDir": "/run/x",
        "ranges": [
            [
                {
                    "subnet": "10.0.5.0/24",
                    "gateway": "10.0.5.254",
                    "rangeStart": "10.0.5.64",
                    "rangeEnd": "10.0.5.127",
                }
            ],
            [{"subnet": "fd00:5::/64", "gateway": "fd00:5::1"}],
        ],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    }


@given(prefix=st.integers(20, 30), ends=st.tuples(st.integers(0, 4095), st.integers(0, 4095)))
def test_the_limit_counts_what_could_be_leased(
    tmp_path_factory: pytest.TempPathFactory, prefix: int, ends: tuple[int, int]
) -> None:
    subnet = IPv4Network(f"10.0.0.0/{prefix}")
    first, last = sorted(subnet[each % subnet.num_addresses] for each in ends)
    provider = Macvlan(
        settings(str(subnet), range=f"{first}-{last}"), Claims(tmp_path_factory.mktemp("claims"))
    )
    leasable = [each for each in subnet.hosts() if first <= each <= last and each != subnet[1]]
    assert provider.limit == len(leasable)
