"""What is asked of iptables, from what it lists."""

import pytest

from cni.errors import CNIError
from cni.firewall.coexistence import chain_name, closing, opening

CHAIN = "HOSTLER-FORWARD"
JUMP = f"-m comment --comment hostler -j {CHAIN}"
OTHERS = "-m comment --comment hostler -j OTHER-FORWARD"
RULES = [f"-A {CHAIN} -i br0 -j ACCEPT", f"-A {CHAIN} -o br0 -j ACCEPT"]
PLAIN = ["-P INPUT DROP", "-P FORWARD ACCEPT", "-P OUTPUT ACCEPT"]
DROPS = ["-P INPUT ACCEPT", "-P FORWARD DROP", "-P OUTPUT ACCEPT"]


def test_a_chain_is_named_after_its_table_and_fits_iptables() -> None:
    assert chain_name("hostler") == CHAIN
    assert chain_name("hostler-cni") == "HOSTLER-CNI-FORWARD"
    long = {chain_name("a" * 30), chain_name("a" * 31)}
    assert len(long) == 2
    assert all(len(name) == 28 for name in long)


def test_where_all_is_accepted_nothing_is_asked() -> None:
    assert opening(PLAIN, CHAIN, ["br0"]) == []
    assert opening([*PLAIN, f"-A FORWARD {OTHERS}"], CHAIN, ["br0"]) == []


@pytest.mark.parametrize("listing", [DROPS, [*PLAIN, "-A FORWARD -j REJECT"]])
def test_a_policy_or_a_rule_may_be_what_drops(listing: list[str]) -> None:
    lines = ["*filter", f":{CHAIN} - [0:0]", *RULES, f"-I FORWARD 1 {JUMP}", "COMMIT"]

    assert opening(listing, CHAIN, ["br0"]) == lines


def test_what_is_done_is_not_done_again_even_behind_another_agents_jump() -> None:
    done = [*DROPS, f"-N {CHAIN}", f"-A FORWARD {OTHERS}", f"-A FORWARD {JUMP}", *RULES]

    assert opening(done, CHAIN, ["br0"]) == []


def test_a_jump_behind_a_rule_of_somebody_else_comes_to_the_top_again() -> None:
    listing = [*DROPS, f"-N {CHAIN}", "-A FORWARD -j DROP", f"-A FORWARD {JUMP}", *RULES]

    assert opening(listing, CHAIN, ["br0"])[-3:] == [
        f"-D FORWARD {JUMP}", f"-I FORWARD 1 {JUMP}", "COMMIT"
    ]  # fmt: skip


def test_closing_takes_the_chain_and_every_jump_to_it_and_no_other() -> None:
    listing = [
        *DROPS, f"-N {CHAIN}", "-N DOCKER-USER", f"-A FORWARD {JUMP}", f"-A FORWARD {OTHERS}",
        f"-A DOCKER-USER {JUMP}", *RULES,
    ]  # fmt: skip

    assert closing(listing, CHAIN) == [
        "*filter", f"-D FORWARD {JUMP}", f"-D DOCKER-USER {JUMP}", f"-F {CHAIN}", f"-X {CHAIN}",
        "COMMIT",
    ]  # fmt: skip
    assert closing(DROPS, CHAIN) == []


@pytest.mark.parametrize("bridge", ["a b", "", "x" * 16])
def test_what_is_no_interface_never_reaches_iptables(bridge: str) -> None:
    with pytest.raises(CNIError):
        opening(DROPS, CHAIN, [bridge])
