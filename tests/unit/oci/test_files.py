"""The text of hosts, resolv.conf and hostname."""

import re

import pytest

from agent.oci.files import (
    address_hostname,
    hostname_file,
    hosts_file,
    resolv_conf,
    without_loopback,
)
from agent.task.definition import HostEntry

HOST = "# from the host\nnameserver 10.0.0.2\nsearch corp.example\noptions ndots:2\n"


def test_hosts_has_loopback_the_extra_hosts_and_the_container() -> None:
    lines = hosts_file("web-1", ["10.1.0.2"], [HostEntry(hostname="db", ip_address="10.9.9.9")])
    assert lines.startswith("127.0.0.1\tlocalhost\n")
    assert lines.endswith("10.9.9.9\tdb\n10.1.0.2\tweb-1\n")


@pytest.mark.parametrize("theirs", ["192.0.2.1\tgate", "192.0.2.1\tgate\n"])
def test_the_names_of_a_host_stand_in_the_place_of_the_loopbacks(theirs: str) -> None:
    extra = [HostEntry(hostname="db", ip_address="10.9.9.9")]
    assert hosts_file("web-1", [], extra, theirs) == "192.0.2.1\tgate\n10.9.9.9\tdb\n"


def test_hostname_is_one_line() -> None:
    assert hostname_file("web-1") == "web-1\n"


def test_resolv_conf_is_the_hosts_by_default() -> None:
    assert resolv_conf(HOST, (), ()) == HOST


def test_servers_of_the_definition_replace_those_of_the_host_only() -> None:
    assert resolv_conf(HOST, ["1.1.1.1"], ()) == (
        "nameserver 1.1.1.1\n# from the host\nsearch corp.example\noptions ndots:2\n"
    )


def test_search_domains_of_the_definition_replace_those_of_the_host_only() -> None:
    assert resolv_conf(HOST, (), ["a.example", "b.example"]) == (
        "search a.example b.example\n# from the host\nnameserver 10.0.0.2\noptions ndots:2\n"
    )


def test_servers_on_the_loopback_of_the_host_are_left_out() -> None:
    host = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n"
    assert without_loopback(host) == "nameserver 10.0.0.2\nnameserver fe80::1%eth0\n"


def test_no_server_is_invented_when_none_is_left() -> None:
    host = "nameserver 127.0.0.53\noptions edns0\n"
    assert without_loopback(host) == host


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.1.7", "ip-10-0-1-7"),
        ("fd00::7", "ip-fd00-0-0-0-0-0-0-7"),
        ("fd00:ec2::", "ip-fd00-ec2-0-0-0-0-0-0"),
    ],
)
def test_a_host_name_made_of_an_address_is_a_valid_one(address: str, name: str) -> None:
    assert address_hostname(address) == name
    assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
