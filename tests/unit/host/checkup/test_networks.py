"""What is tried of the kernel's networks, and what is said when it does not work."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from agent.host.checkup import networks
from agent.host.checkup.outcomes import Outcome
from cni.errors import CNIError, Code
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, unseen


class Kernel:
    """Makes interfaces but those of kinds that it lacks."""

    def __init__(self, *lacks: str, code: int = errno.EOPNOTSUPP) -> None:
        self.lacks, self.code = lacks, code
        self.asked: list[str] = []

    def make(self, kind: str) -> None:
        self.asked.append(kind)
        if kind in self.lacks:
            raise OSError(self.code, os.strerror(self.code))


def looked(
    host: Host,
    kernel: Kernel,
    shaping: Exception | None = None,
    rules: Exception | None = None,
) -> list[Outcome]:
    def shape() -> None:
        if shaping:
            raise shaping

    def refuse(table: str) -> None:
        assert table == "hostler"
        if rules:
            raise rules

    return list(networks.check(host.subject, kernel.make, shape, refuse))


def test_a_kernel_that_can_all(host: Host) -> None:
    kernel = Kernel()
    outcomes = looked(host, kernel)
    assert findings(outcomes) == []
    assert len(facts(outcomes)) == 4
    assert kernel.asked == ["bridge", "veth"]


@pytest.mark.parametrize("kind", ["bridge", "veth"])
def test_a_kind_that_bridge_mode_needs(host: Host, kind: str) -> None:
    outcomes = looked(host, Kernel(kind))
    (what,) = errors(outcomes)
    assert what.startswith(
        f"no interface of kind {kind} can be made, so no task in mode bridge can"
    )
    assert f"module {kind}" in cure(outcomes)


def test_kinds_that_the_pool_of_interfaces_needs(host: Host, tmp_path: Path) -> None:
    pool = tmp_path / "enis.json"
    trunk = {"type": "vlan", "trunk": "eth1", "vlan": 7, "addresses": ["10.0.1.7/24"]}
    pool.write_text(json.dumps({"interfaces": [trunk]}))
    host.set(eni_provider="pool", enis=pool)
    outcomes = looked(host, Kernel("vlan"))
    assert "module 8021q" in cure(outcomes)
    host.set(eni_provider="macvlan", enis=None)
    kernel = Kernel("vlan")
    assert findings(looked(host, kernel)) == []
    assert kernel.asked == ["bridge", "veth", "macvlan"]


def test_a_pool_that_cant_be_read_is_somebody_elses_finding(host: Host, tmp_path: Path) -> None:
    host.set(eni_provider="pool", enis=tmp_path / "none.json")
    assert findings(looked(host, Kernel())) == []
    host.set(enis=None)
    assert findings(looked(host, Kernel())) == []


def test_who_may_not_try_has_not_seen(host: Host) -> None:
    kernel = Kernel("bridge", "veth", code=errno.EPERM)
    refused = CNIError(Code.IO_FAILURE, "nft refused the rules", "Operation not permitted")
    outcomes = looked(host, kernel, PermissionError(errno.EPERM, "no"), refused)
    assert findings(outcomes) == []
    assert len(unseen(outcomes)) == 4


def test_no_netem_is_no_fault_of_the_host(host: Host) -> None:
    outcomes = looked(host, Kernel(), CNIError(Code.PLUGIN_NOT_AVAILABLE, "there is no netem"))
    assert findings(outcomes) == []
    assert "tasks can't ask for latency or loss in their networks: there is no netem" in facts(
        outcomes
    )


def test_rules_that_nftables_does_not_take(host: Host) -> None:
    outcomes = looked(host, Kernel(), rules=CNIError(Code.IO_FAILURE, "nft refused the rules"))
    assert errors(outcomes) == ["the rules of bridge networks can't be made: nft refused the rules"]
    assert "nft_fib_inet" in cure(outcomes)
