"""Programs of the host: there or not, and of a version that does or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.host.checkup import tools
from agent.host.checkup.outcomes import Outcome
from agent.host.checkup.programs import NotRun, Ran
from agent.host.containers import facts as host_facts
from agent.registry import hello
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings


@pytest.fixture
def equipped(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with nft, and runc alone on its PATH."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for each in ("runc", "containerd-shim-runc-v2"):
        (binaries / each).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(binaries))
    monkeypatch.setattr(host_facts, "init_program", lambda: "/usr/bin/catatonit")
    host.set(runtimes=tmp_path / "runtimes.json")
    (tmp_path / "runtimes.json").write_text("{}")
    host.answers = {
        "nft --version": Ran(0, "nftables v1.0.6 (Lester Gooch #5)\n"),
        "iptables --version": Ran(0, "iptables v1.8.9 (nf_tables)\n"),
        "runc --version": Ran(0, "runc version 1.1.5+ds1\ncommit: 1.1.5\n"),
    }
    return host


def looked(host: Host, *missing: str) -> list[Outcome]:
    return list(tools.check(host.subject, lambda name: None if name in missing else f"/bin/{name}"))


def test_all_is_there(equipped: Host) -> None:
    outcomes = looked(equipped)
    assert findings(outcomes) == []
    assert facts(outcomes)[:2] == ["nft 1.0.6", "runc is runc 1.1.5"]
    assert facts(outcomes)[-1] == "iptables v1.8.9 (nf_tables)"


def test_a_host_without_iptables(equipped: Host) -> None:
    outcomes = looked(equipped, "iptables")
    assert findings(outcomes) == []
    assert "iptables: there is none" in facts(outcomes)


@pytest.mark.parametrize("name", ["iptables", "ip6tables"])
def test_old_tables_that_nobody_can_look_into(equipped: Host, name: str) -> None:
    file = {"iptables": "ip_tables_names", "ip6tables": "ip6_tables_names"}[name]
    equipped.write(f"/proc/net/{file}", "nat\n")
    assert findings(looked(equipped, name, f"{name}-legacy")) == []
    equipped.write(f"/proc/net/{file}", "nat\nfilter\n")
    assert findings(looked(equipped, name)) == []
    outcomes = looked(equipped, name, f"{name}-legacy")
    (what,) = warnings(outcomes)
    assert what.startswith(f"{name} of the old kind has rules, and there is no program")
    assert "install the package iptables" in cure(outcomes)


def test_no_nft(equipped: Host) -> None:
    outcomes = looked(equipped, "nft")
    assert errors(outcomes) == ["there is no program nft, so no network can be made"]
    assert cure(outcomes) == "install the package nftables"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Ran(-11, "", ""), "exit code -11"),
        (NotRun("nft did not come to an end within 5 s"), "nft did not come to an end within 5 s"),
        (Ran(0, "something"), "something"),
    ],
)
def test_an_nft_that_does_not_work(equipped: Host, answer: Ran | NotRun, said: str) -> None:
    equipped.answers["nft --version"] = answer
    assert errors(looked(equipped)) == [f"nft does not tell its version: {said}"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("runc version 1.0.0-rc93+ds1", "it is older than what is tried with Hostler"),
        ("crun version 1.11.1", "some containers don't start with it"),
        ("crun version 1.14", "older kernels refuse its rules for devices"),
        ("crun version 1.18", "containerd can't start containers with it"),
    ],
)
def test_versions_that_are_known_as_broken(equipped: Host, text: str, why: str) -> None:
    equipped.answers["runc --version"] = Ran(0, f"{text}\nspec: 1.0.2\n")
    (what,) = warnings(looked(equipped))
    assert what.endswith(f"(runc): {why}")


@pytest.mark.parametrize(
    "text", ["runc version 1.0.1", "runc version 1.3.0", "crun version 1.14.1", "youki version 0.1"]
)
def test_versions_that_do(equipped: Host, text: str) -> None:
    equipped.answers["runc --version"] = Ran(0, text)
    assert findings(looked(equipped)) == []


def test_a_runtime_that_tells_nothing(equipped: Host) -> None:
    equipped.answers["runc --version"] = Ran(127, "", "runc: libseccomp.so.2 is missing\n")
    assert warnings(looked(equipped)) == [
        "runc does not tell its version: runc: libseccomp.so.2 is missing"
    ]


def test_what_a_named_runtime_needs(equipped: Host) -> None:
    vm = {"shim": "io.containerd.nosuch.v2", "config": "/nowhere/vm.toml"}
    equipped.settings.runtimes.write_text(json.dumps({"vm": vm}))
    assert errors(looked(equipped)) == [
        "runtime vm needs containerd-shim-nosuch-v2, which this host does not have",
        "runtime vm needs /nowhere/vm.toml, which this host does not have",
    ]


def test_a_file_of_runtimes_that_cant_be_read(equipped: Host) -> None:
    equipped.settings.runtimes.write_text("{")
    (what,) = errors(looked(equipped))
    assert what.startswith(f"HOSTLER_RUNTIMES: {equipped.settings.runtimes}: ")


def test_no_catatonit(equipped: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "init_program", lambda: None)
    (what,) = warnings(looked(equipped))
    assert "initProcessEnabled" in what


def test_no_busybox_is_worth_a_word(equipped: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> Path:
        raise hello.HelloError("no static busybox on this host")

    monkeypatch.setattr(hello, "find_busybox", find)
    outcomes = looked(equipped)
    assert findings(outcomes) == []
    assert "the image hostler/hello can't be made: no static busybox on this host" in facts(
        outcomes
    )


def test_nfs_is_needed_where_it_is_configured(equipped: Host) -> None:
    assert findings(looked(equipped, "mount.nfs")) == []
    equipped.set(efs_servers={"fs-1": "nas:/x"})
    assert findings(looked(equipped)) == []
    assert errors(looked(equipped, "mount.nfs")) == [
        "there is no mount.nfs, which the volumes of HOSTLER_EFS_SERVERS need"
    ]
