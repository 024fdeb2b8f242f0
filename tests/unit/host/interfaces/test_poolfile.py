"""The file of interfaces: what may be left out, and how each fault is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ConfigError
from agent.host.interfaces import poolfile
from agent.task.network import NetworkInterface

MAC = "0a:00:00:00:00:01"
NIC = {"mac": MAC, "addresses": ["10.0.1.7/24"]}
VLAN = {"type": "vlan", "trunk": "eth1", "vlan": 100}
MACVLAN = {"type": "macvlan", "parent": "eth1", "addresses": ["10.0.2.7/24"]}


def read(folder: Path, *entries: object) -> tuple[NetworkInterface, ...]:
    path = folder / "enis.json"
    path.write_text(json.dumps({"interfaces": entries}))
    return poolfile.read(path)


def test_every_field_arrives(tmp_path: Path) -> None:
    entry = {
        "id": "eni-1",
        "type": "nic",
        "mac": "0A-00-00-00-00-01",
        "name": "eth1",
        "addresses": ["10.0.1.7/24", "fd00:1::7/64"],
        "gateways": ["10.0.1.1", "fe80::1"],
        "dns": {"servers": ["10.0.0.2"], "search": ["lab.internal"]},
        "hostname": "ip-10-0-1-7.lab.internal",
        "subnet": "subnet-a",
        "mtu": 9001,
    }
    assert read(tmp_path, entry) == (
        NetworkInterface(
            id="eni-1",
            kind="nic",
            mac=MAC,
            name="eth1",
            mtu=9001,
            addresses=("10.0.1.7/24", "fd00:1::7/64"),
            gateways=("10.0.1.1", "fe80::1"),
            dns_servers=("10.0.0.2",),
            dns_search=("lab.internal",),
            hostname="ip-10-0-1-7.lab.internal",
            subnet="subnet-a",
        ),
    )


def test_children_are_made_on_a_trunk_or_a_parent(tmp_path: Path) -> None:
    by_mac = {"type": "vlan", "trunk": "0A:00:00:00:00:09", "vlan": 7}
    vlan, other, macvlan = read(tmp_path, VLAN, by_mac, MACVLAN)
    assert (vlan.kind, vlan.parent, vlan.vlan) == ("vlan", "eth1", 100)
    assert (other.parent, other.vlan) == ("0a:00:00:00:00:09", 7)
    assert (macvlan.kind, macvlan.parent, macvlan.vlan) == ("macvlan", "eth1", 0)
    macs = {each.mac for each in (vlan, other, macvlan)}
    assert len(macs) == 3
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)  # unicast, locally administered


def test_a_nic_keeps_its_own_mac_when_it_is_found_by_name(tmp_path: Path) -> None:
    (nic,) = read(tmp_path, {"name": "eth1"})
    assert (nic.name, nic.mac) == ("eth1", "")


def test_the_subnet_is_that_of_the_first_address_unless_named(tmp_path: Path) -> None:
    (nic,) = read(tmp_path, {"mac": MAC, "addresses": ["10.0.1.7/24", "fd00:1::7/64"]})
    assert nic.subnet == "10.0.1.0/24"
    (nic,) = read(tmp_path, {"mac": MAC})
    assert nic.subnet == ""


def test_ids_are_like_awss_and_outlive_edits_of_the_rest(tmp_path: Path) -> None:
    before = read(tmp_path, NIC, VLAN, MACVLAN)
    edited = [{**each, "hostname": "other", "mtu": 1400} for each in (MACVLAN, VLAN, NIC)]
    after = read(tmp_path, *edited)
    assert [each.id for each in before] == [each.id for each in reversed(after)]
    assert [each.mac for each in before] == [each.mac for each in reversed(after)]
    assert all(len(each.id) == 21 and each.id.startswith("eni-") for each in before)
    assert len({each.id for each in before}) == 3


@given(octets=st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_a_mac_is_taken_if_an_interface_can_have_it(
    tmp_path_factory: pytest.TempPathFactory, octets: list[int]
) -> None:
    mac = ":".join(f"{each:02X}" for each in octets)
    folder = tmp_path_factory.mktemp("pool")
    if octets[0] & 1 or not any(octets):
        with pytest.raises(ConfigError, match=r"interfaces\[0\]\.mac: must be the MAC"):
            read(folder, {"mac": mac})
    else:
        assert read(folder, {"mac": mac})[0].mac == mac.lower()


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({**NIC, "mac": "0a:00"}, r"interfaces\[0\]\.mac: must be the MAC of an interface"),
        ({**NIC, "name": "a/b"}, r"interfaces\[0\]\.name: must be an interface name"),
        ({**NIC, "adresses": []}, r"interfaces\[0\]\.adresses: there is no such field"),
        ({**NIC, "type": "tap"}, r"interfaces\[0\]\.type: "),
        ({**NIC, "mtu": "9001"}, r"interfaces\[0\]\.mtu: "),
        ({**NIC, "id": "../x"}, r"interfaces\[0\]\.id: must be letters"),
        ({**NIC, "hostname": "a b"}, r"interfaces\[0\]\.hostname: must be a name of DNS"),
        ({**NIC, "dns": {"servers": ["dns"]}}, r"interfaces\[0\]\.dns\.servers\[0\]: "),
        ({"mac": MAC, "addresses": ["10.0.1.7"]}, r"interfaces\[0\]\.addresses\[0\]: .*prefix"),
        ({"mac": MAC, "addresses": ["10.0.1.7/33"]}, r"interfaces\[0\]\.addresses\[0\]: "),
        ({**NIC, "gateways": ["10.0.2.1"]}, r"interfaces\[0\]: gateways: 10\.0\.2\.1 is in the"),
        ({**NIC, "gateways": ["fe80::1"]}, r"interfaces\[0\]: gateways: fe80::1 is in the network"),
        ({**NIC, "gateways": ["10.0.1.7"]}, r"interfaces\[0\]: gateways: .* own address"),
        ({**NIC, "gateways": ["10.0.1.1", "10.0.1.2"]}, r"interfaces\[0\]: gateways: there is one"),
        ({"mac": MAC, "gateways": ["10.0.1.1"]}, r"interfaces\[0\]: gateways: "),
        ({"addresses": ["10.0.1.7/24"]}, r"type nic needs a mac or a name"),
        ({"type": "vlan", "trunk": "eth1"}, r"type vlan needs a trunk and a vlan"),
        ({"type": "macvlan", "parent": "eth1"}, r"type macvlan needs a parent, and a mac or addr"),
        ({**NIC, "trunk": "eth1"}, r"type nic has no trunk"),
        ({**MACVLAN, "vlan": 1}, r"type macvlan has no vlan"),
        ({**VLAN, "parent": "eth1"}, r"type vlan has no parent"),
        ({**VLAN, "vlan": 4095}, r"interfaces\[0\]\.vlan: "),
        ({**VLAN, "vlan": 0}, r"interfaces\[0\]\.vlan: "),
    ],
)
def test_a_fault_is_named_with_file_and_place(
    tmp_path: Path, entry: dict[str, object], fault: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^HOSTLER_ENIS: {tmp_path}/enis\.json: .*{fault}"):
        read(tmp_path, entry)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (NIC, {"mac": MAC.upper()}, f"MAC {MAC} is also in"),
        ({"name": "eth1"}, {"name": "eth1", "mac": MAC}, "name eth1 is also in"),
        (VLAN, {**VLAN, "mac": MAC}, "VLAN 100 on trunk eth1 is also in"),
        ({**MACVLAN, "mac": MAC}, {"type": "macvlan", "parent": "eth1", "mac": MAC}, f"MAC {MAC}"),
        ({**NIC, "id": "eni-1"}, {**VLAN, "id": "eni-1"}, "id eni-1 is also in"),
        (
            NIC,
            {"name": "eth2", "addresses": ["10.0.1.7/24"]},
            r"address 10\.0\.1\.7 in subnet 10\.0\.1\.0/24 is also in",
        ),
        ({"name": "eth1"}, VLAN, "NIC eth1, to be given away or to make children on, is also in"),
        (MACVLAN, {"name": "eth1", "mac": MAC}, "NIC eth1, to be given away"),
    ],
)
def test_what_two_can_not_both_have_is_refused(
    tmp_path: Path, first: dict[str, object], second: dict[str, object], fault: str
) -> None:
    with pytest.raises(ConfigError, match=rf"interfaces\[1\]: {fault}.* interfaces\[0\]"):
        read(tmp_path, first, second)


def test_subnets_of_different_names_may_have_the_same_addresses(tmp_path: Path) -> None:
    other = {"name": "eth2", "addresses": ["10.0.1.7/24"]}
    assert len(read(tmp_path, {**NIC, "subnet": "blue"}, {**other, "subnet": "green"})) == 2


def test_a_vlan_number_may_be_on_two_trunks(tmp_path: Path) -> None:
    assert len(read(tmp_path, VLAN, {**VLAN, "trunk": "eth2"})) == 2


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"interfaces\[0\]\.mac: .*; interfaces\[1\]\.mtu: "):
        read(tmp_path, {"mac": "x"}, {**NIC, "mtu": 1})


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"interfaces": {}}', "{}", "\xff"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "enis.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=f"^HOSTLER_ENIS: {path}: "):
        poolfile.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"can't read {tmp_path}/none: No such file"):
        poolfile.read(tmp_path / "none")
