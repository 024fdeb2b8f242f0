"""Address leases: properties over random histories, races of processes, and what crashes leave."""

import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import ipam
from cni.context import Context
from cni.errors import CNIError, Code
from cni.ipam import IPAMConfig
from cni.spec import Args

SMALL = IPAMConfig("net", IPv4Network("10.0.0.0/29"))
POOL = [IPv4Address(f"10.0.0.{host}") for host in range(2, 7)]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_at(tmp_path)


def context_at(root: Path) -> Context:
    unused: Any = None  # leases need the directory only
    return Context(unused, unused, unused, root)


def args(name: str) -> Args:
    return Args(name, None, "veth0")


def add(context: Context, name: str, conf: IPAMConfig = SMALL) -> IPv4Address:
    address = ipam.add(conf, args(name), context).ips[0].address.ip
    assert isinstance(address, IPv4Address)
    return address


def links(context: Context, kind: str) -> dict[str, str]:
    root = context.state_dir / "ipam" / "net" / kind
    return {link.name: link.readlink().name for link in root.iterdir()}


def test_a_lease_comes_with_gateway_and_default_route(context: Context) -> None:
    result = ipam.add(SMALL, args("a"), context)

    assert result.ips[0].address == IPv4Interface("10.0.0.2/29")
    assert result.ips[0].gateway == result.routes[0].gw == IPv4Address("10.0.0.1")
    assert result.routes[0].dst == IPv4Network("0.0.0.0/0")
    assert result.interfaces == ()


histories = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), max_size=60)


@given(histories)
def test_no_history_gives_an_address_to_two(history: list[tuple[bool, str]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        context = context_at(Path(root))
        held: dict[str, IPv4Address] = {}
        for adds, name in history:
            if not adds:
                ipam.delete(SMALL, args(name), context)
                held.pop(name, None)
            elif name in held or len(held) < len(POOL):
                before = held.get(name)
                held[name] = add(context, name)
                assert before in (None, held[name])
            else:
                with pytest.raises(CNIError) as caught:
                    add(context, name)
                assert caught.value.code == Code.TRY_AGAIN_LATER
            assert len(set(held.values())) == len(held)
            assert set(held.values()) <= set(POOL)
        if history:
            claimed = {f"{name}@eth0": str(address) for name, address in held.items()}
            assert stored(context, "attachments") == claimed
            assert stored(context, "addresses") == {v: k for k, v in claimed.items()}


def stored(context: Context, kind: str) -> dict[str, str]:
    """Like `links`, empty as long as nothing was ever leased."""
    return links(context, kind) if (context.state_dir / "ipam").exists() else {}


def test_a_released_address_rests_until_the_others_had_their_turn(context: Context) -> None:
    given = []
    for _ in range(2 * len(POOL)):
        given.append(add(context, "a"))
        ipam.delete(SMALL, args("a"), context)

    assert given == POOL * 2


def test_two_interfaces_of_one_container_have_an_address_each(context: Context) -> None:
    first = ipam.add(SMALL, Args("a", None, "veth0", "eth0"), context)
    second = ipam.add(SMALL, Args("a", None, "veth1", "eth1"), context)

    assert first.ips != second.ips


def test_check_wants_a_lease(context: Context) -> None:
    add(context, "a")
    ipam.check(SMALL, args("a"), context)

    ipam.delete(SMALL, args("a"), context)
    with pytest.raises(CNIError, match="holds no address") as caught:
        ipam.check(SMALL, args("a"), context)
    assert caught.value.code == Code.CHECK_FAILED


def test_delete_and_gc_are_fine_before_the_first_add(context: Context) -> None:
    ipam.delete(SMALL, args("a"), context)
    ipam.gc(SMALL, [], context)

    assert list(context.state_dir.iterdir()) == []


def test_gc_releases_what_is_not_valid(context: Context) -> None:
    for name in "abc":
        add(context, name)

    ipam.gc(SMALL, [("b", "eth0"), ("c", "eth7")], context)

    assert links(context, "addresses") == {"10.0.0.3": "b@eth0"}
    assert links(context, "attachments") == {"b@eth0": "10.0.0.3"}


def test_an_add_that_died_before_its_claim_leaves_nothing_that_matters(context: Context) -> None:
    add(context, "other")
    way = context.state_dir / "ipam" / "net" / "attachments" / "a@eth0"
    for leads_to in ("10.0.0.4", "10.0.0.2"):  # nobody's, and by now the other's
        way.symlink_to(leads_to)
        ipam.delete(SMALL, args("a"), context)
        assert links(context, "addresses") == {"10.0.0.2": "other@eth0"}

        way.symlink_to(leads_to)
        assert add(context, "a") not in (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"))
        ipam.delete(SMALL, args("a"), context)


def test_an_add_that_died_after_its_claim_is_found_again(context: Context) -> None:
    first = add(context, "a")
    (context.state_dir / "ipam" / "net" / "last").unlink()

    assert add(context, "a") == first
    assert add(context, "b") != first


@pytest.mark.parametrize("damage", ["", "nonsense", "192.0.2.1", "10.0.0.7", "10.0.0.0"])
def test_a_damaged_hint_does_no_harm(context: Context, damage: str) -> None:
    add(context, "a")
    (context.state_dir / "ipam" / "net" / "last").write_text(damage)

    assert add(context, "b") in POOL[1:]


def test_gc_releases_a_claim_whose_way_was_lost(context: Context) -> None:
    add(context, "a")
    (context.state_dir / "ipam" / "net" / "attachments" / "a@eth0").unlink()

    ipam.gc(SMALL, [], context)

    assert links(context, "addresses") == {}


def test_a_lease_of_a_former_subnet_is_exchanged(context: Context) -> None:
    add(context, "a")
    moved = IPAMConfig("net", IPv4Network("10.9.0.0/29"))

    assert add(context, "a", moved) == IPv4Address("10.9.0.2")
    assert links(context, "addresses") == {"10.9.0.2": "a@eth0"}


def test_processes_never_share_an_address(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        found = [one for batch in pool.map(take, [tmp_path] * 3, range(3)) for one in batch]

    assert len(found) == len(set(found)) == 150


def take(root: Path, process: int) -> list[IPv4Address]:
    conf = IPAMConfig("net", IPv4Network("10.0.0.0/24"))
    return [add(context_at(root), f"p{process}-{number}", conf) for number in range(50)]


@pytest.mark.parametrize("subnet", ["10.0.0.0/31", "10.0.0.0/32"])
def test_a_subnet_without_room_is_refused(subnet: str) -> None:
    with pytest.raises(CNIError) as caught:
        IPAMConfig("net", IPv4Network(subnet))
    assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a b", "-a", "a@b"])
def test_names_that_could_leave_the_store_are_refused(name: str) -> None:
    with pytest.raises(CNIError):
        args(name)
    with pytest.raises(CNIError):
        IPAMConfig(name, SMALL.subnet)
