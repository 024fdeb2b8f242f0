"""The text of the nftables table."""

import pytest

from cni.errors import CNIError, Code
from cni.firewall import ruleset


def test_the_script_only_adds_to_what_holds_published_ports_and_networks() -> None:
    script = ruleset.script("hostler")

    assert "add map inet hostler ports4" in script
    assert "delete" not in script
    assert "flush map" not in script
    assert [line for line in script.splitlines() if line.startswith("flush set")] == [
        "flush set inet hostler version"
    ]
    assert script.index("flush table inet hostler") < script.index("add rule")


def test_the_version_comes_last_and_is_the_one_that_is_looked_for() -> None:
    last = ruleset.script("hostler").splitlines()[-1]

    number = int.from_bytes(ruleset.VERSION_KEY, "little")
    assert last == f"add element inet hostler version {{ {number:#x} }}"


def test_multicast_is_not_masqueraded() -> None:
    script = ruleset.script("hostler")

    for group in ("ip daddr 224.0.0.0/4 return", "ip6 daddr ff00::/8 return"):
        assert script.index(group) < script.index("iifname @masqueraded")


@pytest.mark.parametrize("name", ["hostler", "hostler-cni", "a_b-1", "H" * 31])
def test_letters_digits_underscores_and_hyphens_name_a_table(name: str) -> None:
    assert f"add table inet {name}\n" in ruleset.script(name)


@pytest.mark.parametrize("name", ["", "a b", "x;y", "1st", "a\nb", "-", "x" * 32])
def test_a_table_name_that_is_none_never_reaches_nft(name: str) -> None:
    for use in (ruleset.remove_table, ruleset.make_table, ruleset.try_table):
        with pytest.raises(CNIError) as caught:
            use(name)
        assert caught.value.code == Code.INVALID_CONFIG


def test_nft_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(CNIError, match="nftables") as caught:
        ruleset.make_table("hostler")
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
