"""What nft is told of blackholes, and what is made of its listing."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from cni.errors import CNIError, Code
from cni.faults import blackhole
from cni.faults.blackhole import Blackhole
from cni.firewall import nftcommand

WEB = Blackhole(8080, "tcp", "egress")
DNS = Blackhole(53, "udp", "ingress")


class Nft:
    """nft(8) with one table of chains, as its listing shows them; remembers what it was told."""

    def __init__(self, *chains: str) -> None:
        self.chains = chains
        self.scripts: list[str] = []
        self.fails: CNIError | None = None

    def run(self, *words: str, script: str = "") -> str:
        if self.fails is not None:
            raise self.fails
        match words:
            case ("list", "tables", "inet"):
                tables = ["lab", "lab-faults-2", *(["lab-faults"] if self.chains else [])]
                return "".join(f"table inet {each}\n" for each in tables)
            case ("--stateless", "--numeric", "list", "table", "inet", "lab-faults"):
                return "table inet lab-faults {\n" + "\n\n".join(self.chains) + "\n}\n"
            case ("-f", "-"):
                self.scripts.append(script)
                return ""
            case _:
                raise AssertionError(words)


def chain(name: str, *rules: str) -> str:
    hook = "type filter hook output priority 0; policy accept;"
    lines = "".join(f"\t\t{each}\n" for each in (hook, *rules))
    return f"\tchain {name} {{\n{lines}\t}}"


ONE = chain("egress-tcp-8080", "ip saddr 169.254.170.2 accept", "tcp dport 8080 drop")
OTHER = chain("ingress-udp-53", "udp dport 53 drop")


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch) -> Nft:
    made = Nft()
    monkeypatch.setattr(nftcommand, "run", lambda *words, **given: made.run(*words, **given))
    return made


def test_a_blackhole_is_a_chain_that_drops_what_is_not_exempt() -> None:
    networks = ("10.0.0.0/8", "10.1.0.0/16", "2001:db8::/33", "2001:db8:8000::/33", "192.0.2.1")
    assert blackhole.script("t", WEB, map(ip_network, networks)) == (
        "add table inet t\n"
        "add chain inet t egress-tcp-8080"
        " { type filter hook output priority filter; policy accept; }\n"
        "flush chain inet t egress-tcp-8080\n"
        "add rule inet t egress-tcp-8080 ip saddr 169.254.170.2 accept\n"
        "add rule inet t egress-tcp-8080 ip daddr 169.254.170.2 accept\n"
        "add rule inet t egress-tcp-8080 tcp dport 8080"
        " ip daddr { 10.0.0.0/8, 192.0.2.1/32 } accept\n"
        "add rule inet t egress-tcp-8080 tcp dport 8080 ip6 daddr { 2001:db8::/32 } accept\n"
        "add rule inet t egress-tcp-8080 tcp dport 8080 drop\n"
    )


def test_what_comes_in_is_met_on_its_way_in() -> None:
    script = blackhole.script("t", DNS, [])
    assert "ingress-udp-53 { type filter hook input " in script
    assert script.endswith("add rule inet t ingress-udp-53 udp dport 53 drop\n")
    assert "{ }" not in script
    assert script.count("accept\n") == 2  # the metadata endpoint, whichever way


def test_a_blackhole_is_started_once(nft: Nft) -> None:
    blackhole.start("lab-faults", WEB, [])
    assert nft.scripts == [blackhole.script("lab-faults", WEB, [])]
    nft.chains = (OTHER, ONE)
    blackhole.start("lab-faults", WEB, [ip_network("10.0.0.0/8")])
    assert len(nft.scripts) == 1


@pytest.mark.parametrize("rules", [(), ("tcp dport 8080 accept",), ("tcp dport 80801 drop",)])
def test_a_chain_that_does_not_drop_is_made_anew(nft: Nft, rules: tuple[str, ...]) -> None:
    nft.chains = (chain("egress-tcp-8080", *rules),)
    assert not blackhole.running("lab-faults", WEB)
    blackhole.start("lab-faults", WEB, [])
    assert nft.scripts == [blackhole.script("lab-faults", WEB, [])]


def test_the_table_goes_with_its_last_blackhole(nft: Nft) -> None:
    nft.chains = (ONE, OTHER)
    blackhole.stop("lab-faults", WEB)
    nft.chains = (OTHER,)
    blackhole.stop("lab-faults", WEB)  # which is gone
    blackhole.stop("lab-faults", DNS)
    nft.chains = ()
    blackhole.stop("lab-faults", DNS)
    assert nft.scripts == [
        "delete chain inet lab-faults egress-tcp-8080\n",
        "delete table inet lab-faults\n",
    ]


def test_a_blackhole_is_another_with_another_port_protocol_or_direction(nft: Nft) -> None:
    nft.chains = (ONE, OTHER)
    assert blackhole.running("lab-faults", WEB)
    assert blackhole.running("lab-faults", DNS)
    assert blackhole.started("lab-faults") == [WEB.chain, DNS.chain]
    for other in (
        Blackhole(808, "tcp", "egress"),
        Blackhole(8080, "udp", "egress"),
        Blackhole(8080, "tcp", "ingress"),
    ):
        assert not blackhole.running("lab-faults", other)


def test_all_are_stopped_by_the_table_whether_it_is_there_or_not(nft: Nft) -> None:
    blackhole.stop_all("lab-faults")
    assert nft.scripts == ["add table inet lab-faults\ndelete table inet lab-faults\n"]


def test_what_nft_refuses_is_no_answer(nft: Nft) -> None:
    nft.fails = CNIError(Code.IO_FAILURE, "nft refused the rules")
    for work in (
        lambda: blackhole.start("lab-faults", WEB, []),
        lambda: blackhole.stop("lab-faults", WEB),
        lambda: blackhole.running("lab-faults", WEB),
    ):
        with pytest.raises(CNIError, match="refused"):
            work()
