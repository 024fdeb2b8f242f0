"""The plugin hostler-ipam: its keys, requested addresses, and what GC, CHECK and STATUS say."""

import tempfile
from ipaddress import IPv4Address, IPv4Interface, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.ipam import plugin as ipam
from cni.ipam.plugin import IPAMConfig
from cni.spec import DNS, Args, Attachment, Route

NONE: Any = None  # leases need no socket
CONTEXT = Context(NONE, NONE, NONE, Path("/nonexistent"))
SMALL = "10.0.0.0/29"
POOL = [IPv4Address(f"10.0.0.{host}") for host in range(2, 7)]


def parsed(root: Path, *subnets: str, top: dict[str, Any] | None = None, **keys: Any) -> IPAMConfig:
    values: dict[str, Any] = {"type": "hostler-ipam", "dataDir": str(root)}
    if subnets:
        values["ranges"] = [[{"subnet": subnet}] for subnet in subnets]
    return ipam.parse(Fields({"name": "net", "ipam": {**values, **keys}, **(top or {})}))


@pytest.fixture
def small(tmp_path: Path) -> IPAMConfig:
    return parsed(tmp_path, SMALL)


def add(conf: IPAMConfig, name: str = "a", **more: Any) -> list[str]:
    result = ipam.add(conf, Args(name, None, **more), CONTEXT)
    return [str(ip.address) for ip in result.ips]


def delete(conf: IPAMConfig, name: str) -> None:
    ipam.delete(conf, Args(name, None), CONTEXT)


def refused(conf: IPAMConfig, words: str, **more: Any) -> Code | int:
    with pytest.raises(CNIError, match=words) as caught:
        add(conf, **more)
    return caught.value.code


def test_a_lease_comes_with_its_gateway_routes_and_dns(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(
        "# by hand\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch old\n"
        "search a.example b.example\noptions ndots:2\noptions edns0\ndomain a.example\n"
    )
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "10.9.9.9/16", "gw": "10.0.0.3", "mtu": 1400}]

    conf = parsed(tmp_path, SMALL, routes=routes, resolvConf=str(resolv))
    result = ipam.add(conf, Args("a", None), CONTEXT)

    assert result.ips[0].address == IPv4Interface("10.0.0.2/29")
    assert result.ips[0].gateway == IPv4Address("10.0.0.1")
    assert result.routes == (
        Route(ip_network("0.0.0.0/0")),
        Route(ip_network("10.9.0.0/16"), ip_address("10.0.0.3"), mtu=1400),
    )
    assert result.dns == DNS(
        ("192.0.2.53", "2001:db8::53"),
        "a.example",
        ("a.example", "b.example"),
        ("ndots:2", "edns0"),
    )
    assert result.interfaces == ()


histories = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), max_size=60)


@given(histories)
def test_no_history_gives_an_address_to_two(history: list[tuple[bool, str]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        conf = parsed(Path(root), SMALL)
        held: dict[str, str] = {}
        for adds, name in history:
            if not adds:
                delete(conf, name)
                held.pop(name, None)
            elif name in held or len(held) < len(POOL):
                before = held.get(name)
                (held[name],) = add(conf, name)
                assert before in (None, held[name])
            else:
                assert refused(conf, "in use", name=name) == Code.TRY_AGAIN_LATER
            assert len(set(held.values())) == len(held)
        taken = {ip_interface(each).ip for each in held.values()}
        assert set(conf.store.taken()) == taken
        assert taken <= set(POOL)


def test_a_released_address_rests_until_the_others_had_their_turn(small: IPAMConfig) -> None:
    given = []
    for _ in range(2 * len(POOL)):
        given += add(small)
        delete(small, "a")

    assert given == [f"{each}/29" for each in POOL * 2]


def test_each_range_set_gives_one_address(tmp_path: Path) -> None:
    conf = parsed(tmp_path, SMALL, "fd00::/64", "10.5.0.0/24")

    assert add(conf) == ["10.0.0.2/29", "fd00::2/64", "10.5.0.2/24"]
    assert add(conf, "b") == ["10.0.0.3/29", "fd00::3/64", "10.5.0.3/24"]
    assert add(conf) == ["10.0.0.2/29", "fd00::2/64", "10.5.0.2/24"]


def test_when_one_set_has_none_left_the_others_give_none_away(tmp_path: Path) -> None:
    conf = parsed(tmp_path, "fd00::/64", "10.0.0.0/30")
    add(conf)

    assert refused(conf, r"all addresses of 10\.0\.0\.1-10\.0\.0\.2", name="b") == (
        Code.TRY_AGAIN_LATER
    )
    assert sorted(map(str, conf.store.taken())) == ["10.0.0.2", "fd00::2"]


def test_a_set_of_two_ranges_gives_the_second_when_the_first_is_used_up(tmp_path: Path) -> None:
    ranges = [[{"subnet": "10.0.0.0/30"}, {"subnet": "10.5.0.0/24", "gateway": "10.5.0.254"}]]
    conf = parsed(tmp_path, ranges=ranges)

    assert [add(conf, name) for name in "abc"] == [
        ["10.0.0.2/30"],
        ["10.5.0.1/24"],
        ["10.5.0.2/24"],
    ]
    result = ipam.add(conf, Args("b", None), CONTEXT)
    assert result.ips[0].gateway == ip_address("10.5.0.254")


def test_the_old_form_with_one_subnet_is_the_first_range_set(tmp_path: Path) -> None:
    conf = parsed(
        tmp_path, "fd00::/64", subnet="10.0.0.0/24", rangeStart="10.0.0.9", gateway="10.0.0.254"
    )

    assert add(conf) == ["10.0.0.9/24", "fd00::2/64"]


def test_the_runtimes_ranges_come_first(small: IPAMConfig) -> None:
    runtime = {"ipRanges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}

    assert add(small, runtime=runtime) == ["10.7.0.2/24", "fd00:7::2/64", "10.0.0.2/29"]
    assert add(parsed(small.data_dir), "b", runtime=runtime) == ["10.7.0.3/24", "fd00:7::3/64"]


def test_addresses_can_be_asked_for_in_three_ways(tmp_path: Path) -> None:
    conf = parsed(tmp_path, "10.0.0.0/24", "fd00::/64", "10.5.0.0/24")
    args = {"args": {"cni": {"ips": ["fd00::77"]}}}
    asking = parsed(tmp_path, "10.0.0.0/24", "fd00::/64", "10.5.0.0/24", top=args)
    more: dict[str, Any] = {"cni_args": {"IP": "10.0.0.77"}, "runtime": {"ips": ["10.5.0.77/24"]}}

    assert add(asking, **more) == ["10.0.0.77/24", "fd00::77/64", "10.5.0.77/24"]
    assert add(asking, **more) == ["10.0.0.77/24", "fd00::77/64", "10.5.0.77/24"]
    assert add(conf, "b") == ["10.0.0.2/24", "fd00::2/64", "10.5.0.2/24"]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ("10.0.0.1", Code.INVALID_CONFIG, "gateway"),
        ("10.9.9.9", Code.INVALID_CONFIG, "10.9.9.9 cannot be given"),
        ("10.0.0.7", Code.INVALID_CONFIG, "10.0.0.7 cannot be given"),
        ("fd00::5", Code.INVALID_CONFIG, "fd00::5 cannot be given"),
        ("10.0.0.2", Code.TRY_AGAIN_LATER, "10.0.0.2 is in use"),
        ("nonsense", Code.INVALID_ENVIRONMENT, "IP=nonsense"),
    ],
)
def test_an_address_that_cannot_be_given_is_refused_and_none_is_taken(
    small: IPAMConfig, asked: str, code: Code, words: str
) -> None:
    add(small, "other")

    assert refused(small, words, cni_args={"IP": asked}) == code
    assert small.store.taken() == [POOL[0]]


def test_more_addresses_of_a_set_than_it_gives_are_refused(small: IPAMConfig) -> None:
    runtime = {"ips": ["10.0.0.3", "10.0.0.4"]}

    assert refused(small, r"10\.0\.0\.4 cannot be given", runtime=runtime) == Code.INVALID_CONFIG


def test_another_address_that_is_asked_for_is_exchanged(small: IPAMConfig) -> None:
    add(small)

    assert add(small, cni_args={"IP": "10.0.0.5"}) == ["10.0.0.5/29"]
    assert small.store.taken() == [ip_address("10.0.0.5")]


def test_reserved_addresses_are_for_those_who_ask(tmp_path: Path) -> None:
    conf = parsed(tmp_path, SMALL, reserved=["10.0.0.2", "10.0.0.4/31", "fd00::/64"])

    assert [add(conf, name) for name in "ab"] == [["10.0.0.3/29"], ["10.0.0.6/29"]]
    assert refused(conf, "in use", name="c") == Code.TRY_AGAIN_LATER
    assert add(conf, "c", cni_args={"IP": "10.0.0.4"}) == ["10.0.0.4/29"]


def test_two_interfaces_of_one_container_have_an_address_each(small: IPAMConfig) -> None:
    assert add(small) != add(small, ifname="eth1")


def test_a_lease_of_a_former_subnet_is_exchanged(small: IPAMConfig) -> None:
    add(small)
    moved = parsed(small.data_dir, "10.9.0.0/29")

    assert add(moved) == ["10.9.0.2/29"]
    assert moved.store.taken() == [ip_address("10.9.0.2")]


def test_check_wants_a_lease(small: IPAMConfig) -> None:
    add(small)
    ipam.check(small, Args("a", None), CONTEXT)

    delete(small, "a")
    with pytest.raises(CNIError, match="holds no address") as caught:
        ipam.check(small, Args("a", None), CONTEXT)
    assert caught.value.code == Code.CHECK_FAILED


def test_gc_releases_what_is_not_valid(small: IPAMConfig) -> None:
    for name in "abc":
        add(small, name)

    ipam.gc(small, [Attachment("b", "eth0"), Attachment("c", "eth7")], CONTEXT)

    assert small.store.taken() == [POOL[1]]
    assert [way.name for way in (small.store.root / "attachments").iterdir()] == ["0@b@eth0"]


def test_status_is_50_once_a_set_has_no_address_left(tmp_path: Path) -> None:
    conf = parsed(tmp_path, "fd00::/64", SMALL, reserved=["10.0.0.2"])
    for name in "abcd":
        ipam.status(conf, CONTEXT)
        add(conf, name)

    with pytest.raises(CNIError, match=r"10\.0\.0\.1-10\.0\.0\.6 are in use") as caught:
        ipam.status(conf, CONTEXT)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
    delete(conf, "b")
    ipam.status(conf, CONTEXT)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "ipam.ranges must be given"),
        ({"ranges": [{"subnet": SMALL}]}, "ipam.ranges must be a list of lists"),
        ({"ranges": [["10.0.0.0/24"]]}, "ipam.ranges must be a list of lists"),
        ({"ranges": [[{"subnet": "10.0.0.1/24"}]]}, r"ipam.ranges\[0\]\[0\].subnet"),
        ({"subnet": "10.0.0.0/31"}, "ipam.subnet has no room"),
        ({"subnet": SMALL, "reserved": ["x"]}, "ipam.reserved"),
        ({"subnet": SMALL, "resolvConf": "/nonexistent"}, "ipam.resolvConf cannot be read"),
        ({"subnet": SMALL, "routes": [{"gw": "10.0.0.1"}]}, r"ipam.routes\[0\].dst must be given"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(CNIError, match=words) as caught:
        add(parsed(tmp_path, **keys))
    assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a b", "-a", "a@b"])
def test_names_that_could_leave_the_store_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CNIError):
        parsed(tmp_path, SMALL, top={"name": name})
