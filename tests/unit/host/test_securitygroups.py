"""The operator's security groups: what AWS prints, and what can't be used of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.host.network.securitygroups import SecurityGroupError, SecurityGroups, load
from cni.conf import Fields
from cni.security import allowlist

EVERYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def permission(protocol: str = "tcp", **keys: Any) -> dict[str, Any]:
    """One as `aws ec2 describe-security-groups` prints it."""
    return {
        "IpProtocol": protocol,
        "IpRanges": EVERYWHERE,
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
        **keys,
    }


def group(name: str, *ingress: dict[str, Any], egress: Any = (), number: int = 0) -> dict[str, Any]:
    return {
        "Description": "a group",
        "GroupName": name,
        "IpPermissions": list(ingress),
        "OwnerId": "123456789012",
        "GroupId": f"sg-{name}{number or ''}",
        "IpPermissionsEgress": list(egress),
        "Tags": [{"Key": "a", "Value": "b"}],
        "VpcId": "vpc-1",
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "groups.json"


def loaded(path: Path, *groups: dict[str, Any]) -> SecurityGroups:
    path.write_text(json.dumps({"SecurityGroups": groups}))
    return load(path)


def refusal(path: Path, *groups: dict[str, Any]) -> str:
    with pytest.raises(SecurityGroupError) as caught:
        loaded(path, *groups)
    return str(caught.value)


def test_a_group_is_found_by_its_id_and_by_its_name(path: Path) -> None:
    web = permission(
        FromPort=80,
        ToPort=90,
        IpRanges=[{"CidrIp": "10.0.0.0/8"}],
        Ipv6Ranges=[{"CidrIpv6": "::/0"}],
    )
    groups = loaded(path, group("web", web, egress=[permission("-1")]))

    assert groups.rules(["web"]) == groups.rules(["sg-web"])
    assert groups.rules(["web"]) == {
        "ingress": [{"protocol": "tcp", "ports": "80-90", "cidrs": ["10.0.0.0/8", "::/0"]}],
        "egress": [{"protocol": "-1", "ports": "", "cidrs": ["0.0.0.0/0"]}],
    }


@pytest.mark.parametrize(
    ("printed", "protocol", "ports"),
    [
        (permission(FromPort=443, ToPort=443), "tcp", "443"),
        (permission("udp", FromPort=0, ToPort=65535), "udp", ""),
        (permission("icmp", FromPort=-1, ToPort=-1), "icmp", ""),
        (permission("icmp", FromPort=8, ToPort=-1), "icmp", "8"),
        (permission("icmpv6", FromPort=1, ToPort=4), "icmpv6", "1/4"),
        (permission("icmpv6"), "icmpv6", ""),
        (permission("132", FromPort=7, ToPort=7), "sctp", "7"),
        (permission("50"), "50", ""),
        (permission("-1"), "-1", ""),
    ],
)
def test_protocols_and_ports_are_told_as_the_plugin_takes_them(
    path: Path, printed: dict[str, Any], protocol: str, ports: str
) -> None:
    rules = loaded(path, group("web", printed)).rules(["web"])

    assert rules is not None
    assert rules["ingress"] == [{"protocol": protocol, "ports": ports, "cidrs": ["0.0.0.0/0"]}]
    assert rules["egress"] == []
    allowlist.parse(Fields(rules))  # does not refuse it


def test_what_any_of_the_named_groups_allows_is_allowed(path: Path) -> None:
    one, other = permission(FromPort=1, ToPort=1), permission(FromPort=2, ToPort=2)
    groups = loaded(path, group("a", one), group("b", one, other), group("c", permission("-1")))

    rules = groups.rules(["a", "sg-b", "a"])

    assert rules is not None
    assert [rule["ports"] for rule in rules["ingress"]] == ["1", "2"]


def test_the_group_called_default_is_for_those_that_name_none(path: Path) -> None:
    without = loaded(path, group("web", permission("-1")))
    assert without.rules([]) is None

    groups = loaded(path, group("web", permission("-1")), group("default"))
    assert groups.rules([]) == {"ingress": [], "egress": []}


def test_an_unknown_name_is_told_with_those_there_are(path: Path) -> None:
    groups = loaded(path, group("web"), group("db"))

    with pytest.raises(SecurityGroupError) as caught:
        groups.rules(["wed"])
    assert str(caught.value) == (
        f"there is no security group 'wed' in {path}; there are: sg-web (web), sg-db (db)"
    )


def test_a_name_that_two_groups_have_is_refused_but_not_their_ids(path: Path) -> None:
    groups = loaded(path, group("web", number=1), group("web", permission(), number=2))

    with pytest.raises(SecurityGroupError, match="name one of sg-web1, sg-web2"):
        groups.rules(["web"])
    assert groups.rules(["sg-web1"]) == {"ingress": [], "egress": []}


def test_references_that_only_ec2_can_resolve_are_refused_by_name(path: Path) -> None:
    members = permission("-1", UserIdGroupPairs=[{"GroupId": "sg-9", "UserId": "1"}])
    assert refusal(path, group("a"), group("b", members)) == (
        f"{path}: SecurityGroups[1].IpPermissions[0].UserIdGroupPairs[0] refers to group sg-9: "
        "only networks can be allowed"
    )
    prefixes = permission("-1", PrefixListIds=[{"PrefixListId": "pl-1"}])
    assert "IpPermissionsEgress[0].PrefixListIds[0] refers to list pl-1" in refusal(
        path, group("a", egress=[prefixes])
    )


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        (permission(FromPort="x"), "FromPort"),
        (permission(FromPort=90, ToPort=80), "port 90 comes after 80"),
        (permission("tpc"), "IpProtocol"),
        (permission("256"), "IpProtocol"),
        (permission(IpRanges=[{"CidrIp": "10.0.0.0/33"}]), "IpRanges[0].CidrIp"),
        (permission(Ipv6Ranges=[{"CidrIpv6": "10.0.0.0/8"}]), "Ipv6Ranges[0].CidrIpv6"),
    ],
)
def test_a_wrong_value_is_told_with_file_and_place(
    path: Path, wrong: dict[str, Any], place: str
) -> None:
    text = refusal(path, group("a", wrong))

    assert text.startswith(f"{path}: SecurityGroups[0].IpPermissions[0]")
    assert place in text


def test_a_file_that_is_missing_or_something_else_is_told(path: Path) -> None:
    told = r"HOSTLER_SECURITY_GROUPS: can't read .*: No such file"
    with pytest.raises(SecurityGroupError, match=told):
        load(path)
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(SecurityGroupError, match=str(path)):
            load(path)


def test_without_a_file_there_are_no_groups() -> None:
    groups = load(None)

    assert (groups.names, groups.rules([])) == (frozenset(), None)
    with pytest.raises(SecurityGroupError, match=r"no security group 'web' in the settings.* none"):
        groups.rules(["web"])


def test_ids_and_names_may_be_named(path: Path) -> None:
    assert loaded(path, group("web"), group("db")).names == {"web", "sg-web", "db", "sg-db"}
