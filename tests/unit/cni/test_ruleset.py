"""The text of the nftables table."""

from ipaddress import IPv4Network

import pytest

from cni import ruleset
from cni.errors import CNIError, Code
from cni.ruleset import Network

NETWORK = Network("hostler0", IPv4Network("172.31.0.0/16"))


def test_the_script_only_adds_to_what_holds_published_ports() -> None:
    script = ruleset.script("hostler", [NETWORK])

    assert "add map inet hostler ports" in script
    assert "delete" not in script
    assert "flush map" not in script
    assert script.index("flush table inet hostler") < script.index("add rule")


def test_each_network_is_an_element_and_no_rule() -> None:
    one = ruleset.script("hostler", [NETWORK])
    two = ruleset.script("hostler", [NETWORK, Network("other0", IPv4Network("10.0.0.0/8"))])

    assert 'add element inet hostler bridges { "hostler0" }' in one
    assert "add element inet hostler networks { 172.31.0.0/16 }" in one
    assert one.count("add rule") == two.count("add rule")


@pytest.mark.parametrize("name", ["", "a b", "x;y", "1st", "a\nb", "-"])
def test_a_table_name_that_is_none_never_reaches_nft(name: str) -> None:
    for use in (ruleset.remove_table, lambda name: ruleset.ensure_table(name, [])):
        with pytest.raises(CNIError) as caught:
            use(name)
        assert caught.value.code == Code.INVALID_CONFIG


@pytest.mark.parametrize("bridge", ["", 'a"b', "a}b", "a b", "sixteen-letters-"])
def test_a_bridge_name_that_is_none_never_reaches_nft(bridge: str) -> None:
    with pytest.raises(CNIError):
        ruleset.script("hostler", [Network(bridge, NETWORK.subnet)])


def test_nft_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CNIError, match="nftables") as caught:
        ruleset.ensure_table("hostler", [NETWORK])
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
