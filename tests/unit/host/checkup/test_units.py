"""Units as ``systemctl show`` tells of them; the text is that of systemd 252."""

from __future__ import annotations

import pytest

from agent.host.checkup import units
from agent.host.checkup.outcomes import Outcome
from agent.host.checkup.programs import NotRun, Ran
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, unseen, warnings

SOUND = {
    "Type": "notify",
    "Result": "success",
    "NRestarts": "0",
    "RuntimeDirectoryPreserve": "yes",
    "FileDescriptorStoreMax": "4096",
    "NFileDescriptorStore": "12",
    "Delegate": "yes",
    "KillMode": "process",
    "Id": "hostler.service",
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "FragmentPath": "/lib/systemd/system/hostler.service",
    "DropInPaths": "",
    "UnitFileState": "enabled",
    "NeedDaemonReload": "no",
}
ROUTER = {**SOUND, "Id": "hostler-logs.service", "Type": "simple", "KillMode": "control-group"}
ABSENT = {"Id": "hostler-containerd.service", "LoadState": "not-found", "ActiveState": "inactive"}


def text(*shown: dict[str, str]) -> str:
    return "\n\n".join("\n".join(f"{key}={value}" for key, value in each.items()) for each in shown)


@pytest.fixture
def booted(host: Host) -> Host:
    host.folder("/run/systemd/system")
    return host


def looked(
    host: Host, agent: dict[str, str], router: dict[str, str] | None = None
) -> list[Outcome]:
    host.answers["systemctl show hostler.service hostler-logs.service"] = Ran(
        0, text({**SOUND, **agent}, {**ROUTER, **(router or {})}, ABSENT)
    )
    return list(units.check(host.subject))


def test_units_that_run(booted: Host) -> None:
    outcomes = looked(booted, {})
    assert findings(outcomes) == []
    assert facts(outcomes) == [
        "hostler.service is active (running)",
        "hostler-logs.service is active (running)",
        "hostler-containerd.service is not-found",
        "systemd keeps 12 metadata sockets of at most 4096",
    ]


def test_without_systemd_there_are_none(host: Host) -> None:
    assert facts(units.check(host.subject)) == ["systemd is not the first process of this host"]


def test_a_systemd_that_does_not_answer(booted: Host) -> None:
    booted.answers["systemctl"] = NotRun("systemctl did not come to an end within 5 s")
    assert unseen(units.check(booted.subject)) == ["systemctl did not come to an end within 5 s"]
    booted.answers["systemctl"] = Ran(1, "", "Failed to connect to bus\n")
    assert unseen(units.check(booted.subject)) == ["systemctl show: Failed to connect to bus"]


@pytest.mark.parametrize(
    ("agent", "router", "light", "said", "mend"),
    [
        (
            {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"},
            {},
            False,
            "hostler.service has failed (exit-code)",
            "journalctl -u hostler.service -n 50",
        ),
        (
            {},
            {"ActiveState": "failed", "Result": "oom-kill"},
            False,
            "hostler-logs.service has failed (oom-kill): containers wait once their pipes are full",
            "systemctl restart hostler-logs.service",
        ),
        (
            {"NeedDaemonReload": "yes"},
            {},
            True,
            "the file of hostler.service has changed since systemd read it",
            "systemctl daemon-reload",
        ),
        (
            {"NRestarts": "5"},
            {},
            True,
            "systemd has started hostler.service again 5 times since it was asked to",
            "journalctl",
        ),
        (
            {"KillMode": "control-group", "Delegate": "no"},
            {},
            False,
            "hostler.service has KillMode=control-group, Delegate=no: tasks would not outlive the"
            " agent, or it would not be ready",
            "take /lib/systemd/system/hostler.service back to what came with Hostler",
        ),
        (
            {"FileDescriptorStoreMax": "0", "NFileDescriptorStore": "0"},
            {},
            False,
            "systemd keeps no metadata sockets: requests are refused while the agent restarts",
            "FileDescriptorStoreMax=",
        ),
        (
            {"NFileDescriptorStore": "4000"},
            {},
            True,
            "systemd keeps 4000 metadata sockets of at most 4096: requests of new containers are"
            " refused at a restart",
            "raise FileDescriptorStoreMax=",
        ),
    ],
)
def test_units_that_need_a_hand(
    booted: Host,
    agent: dict[str, str],
    router: dict[str, str],
    light: bool,
    said: str,
    mend: str,
) -> None:
    outcomes = looked(booted, agent, router)
    assert (warnings(outcomes), errors(outcomes)) == (([said], []) if light else ([], [said]))
    assert mend in cure(outcomes)


def test_a_host_whose_agent_is_no_unit(booted: Host) -> None:
    absent = [{"Id": each, "LoadState": "not-found"} for each in units.UNITS]
    booted.answers["systemctl show"] = Ran(0, text(*absent))
    assert findings(units.check(booted.subject)) == []


def test_what_the_shipped_unit_says_is_what_is_needed() -> None:
    from pathlib import Path

    path = Path(__file__).parents[4] / "systemd" / "hostler.service"
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    said = {key: value for key, _, value in pairs}
    for key, values in units._NEEDED.items():
        assert said[key] in values
    assert int(said["FileDescriptorStoreMax"]) > 0
