"""``hostler doctor``: what it says, and the exit code that says whether anything is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import VERSION, config
from agent.host.checkup import host
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen, warning
from agent.settings import Settings
from tests.fakes.api import Body, FakeApi, Refused
from tests.unit.cli.conftest import Hostler

ORPHAN = {
    "check": "orphans",
    "what": "interface hv0 belongs to no task",
    "cure": "remove it",
    "severity": "error",
}
DROPS = {
    "check": "forwarding",
    "what": "iptables drops all",
    "cure": "let it not",
    "severity": "warning",
}
SLEEPS = {"check": "units", "why": "systemd sleeps"}


def answer(**given: Any) -> Body:
    sound = {"findings": [], "facts": [], "unseen": [], "fixed": [], "version": VERSION}
    return {**sound, **given}


SICK = answer(findings=[ORPHAN, DROPS])


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of this machine is nobody's business."""
    for each in (config.load, config.read):
        monkeypatch.setattr(each, "__defaults__", ((),))


def test_a_sound_host_is_said_to_be_so(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer()
    assert hostler("doctor") == (0, "nothing is wrong\n", "")
    assert api.asked("Hostler.Diagnose") == [{"fix": False}]


def test_what_is_wrong_is_told_with_its_cure(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = SICK
    ran = hostler("doctor")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == (
        "orphans: interface hv0 belongs to no task\n"
        "    remove it\n"
        "forwarding: warning: iptables drops all\n"
        "    let it not\n"
        "1 error, 1 warning\n"
    )


def test_what_belongs_together_stands_together(api: FakeApi, hostler: Hostler) -> None:
    facts = [{"check": "kernel", "what": "new"}, {"check": "orphans", "what": "none but one"}]
    api.answers["Hostler.Diagnose"] = answer(findings=[ORPHAN, DROPS, ORPHAN], facts=facts)
    out = hostler("doctor", "--verbose").out.splitlines()
    heads = [line.partition(":")[0] for line in out if not line.startswith(" ")]
    assert heads[:3] == ["orphans", "orphans", "orphans"]
    assert "orphans: ok: none but one" in out
    assert "kernel: ok: new" in out
    assert out[-1] == "2 errors, 1 warning"


def test_what_is_in_order_is_told_to_who_asks(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer(facts=[{"check": "kernel", "what": "it is new"}])
    assert hostler("doctor").out == "nothing is wrong\n"
    ran = hostler("doctor", "-v")
    assert ran.code == 0
    assert "kernel: ok: it is new\n" in ran.out
    assert f"agent: ok: it answers, and is {VERSION} as is installed\n" in ran.out


def test_what_was_mended_is_told_and_all_is_well(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer(fixed=["removed interface hv0"])
    assert hostler("doctor", "--fix") == (0, "removed interface hv0\nnothing is wrong\n", "")
    assert api.asked("Hostler.Diagnose") == [{"fix": True}]


def test_what_could_not_be_mended_is_still_wrong(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer(findings=[DROPS], fixed=["removed interface hv0"])
    ran = hostler("doctor", "--fix")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == (
        "removed interface hv0\n"
        "forwarding: warning: iptables drops all\n    let it not\n1 warning\n"
    )


def test_what_could_not_be_seen_is_neither(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer(unseen=[SLEEPS])
    ran = hostler("doctor")
    assert (ran.code, ran.out) == (
        125,
        "units: could not be looked at: systemd sleeps\n1 not seen\n",
    )
    api.answers["Hostler.Diagnose"] = answer(unseen=[SLEEPS], findings=[DROPS])
    assert hostler("doctor").code == 1


def test_as_json_it_is_all_with_the_same_exit_codes(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = SICK
    ran = hostler("doctor", "--json")
    told = json.loads(ran.out)
    assert (ran.code, ran.err, told["findings"]) == (1, "", [ORPHAN, DROPS])
    assert told.keys() == {"findings", "facts", "unseen", "fixed"}
    api.answers["Hostler.Diagnose"] = answer()
    ran = hostler("doctor", "--json")
    assert (ran.code, json.loads(ran.out)["findings"]) == (0, [])


def test_an_agent_that_refuses_to_look_is_neither(api: FakeApi, hostler: Hostler) -> None:
    def refuse(body: Body) -> Body:
        raise Refused("ServerException", "netlink is unwell")

    api.answers["Hostler.Diagnose"] = refuse
    assert hostler("doctor") == (125, "", "hostler: ServerException: netlink is unwell\n")


def test_an_agent_of_before_an_upgrade_is_named(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = answer(version="0.0.9")
    ran = hostler("doctor")
    assert ran.code == 1
    assert f"agent: warning: the agent that runs is 0.0.9, but {VERSION} is installed" in ran.out
    assert "systemctl reload hostler" in ran.out


class Alone:
    """The checks of the host where no agent runs."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.clients: list[object] = []

    async def examine(self, subject: object, client: object) -> list[Outcome]:
        self.clients.append(client)
        return self.outcomes


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Alone:
    made = Alone()
    monkeypatch.setattr(host, "examine", made.examine)
    monkeypatch.setenv("HOSTLER_RUN_DIR", str(tmp_path / "run"))
    return made


def test_without_an_agent_that_is_a_finding_among_the_hosts(
    alone: Alone, bare: Hostler, tmp_path: Path
) -> None:
    alone.outcomes = [
        Finding("kernel", "it is old", "get another"),
        warning("disk", "it is small", "get a large one"),
        Fact("clock", "it ticks"),
        Unseen("units", "systemd sleeps"),
    ]
    ran = bare("doctor")
    assert ran.code == 1
    for part in (
        f"agent: no agent answers on {tmp_path}/run/api.sock: tasks run on, but nobody looks after",
        "kernel: it is old\n    get another\n",
        "disk: warning: it is small\n",
        "units: could not be looked at: systemd sleeps\n",
        "orphans: could not be looked at: only a running agent knows",
        "2 errors, 1 warning, 2 not seen\n",
    ):
        assert part in ran.out


def test_the_socket_may_be_there_and_nobody_listen(
    alone: Alone, bare: Hostler, tmp_path: Path
) -> None:
    import socket

    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    ran = bare("doctor", "--json", "--socket", str(path))
    found = json.loads(ran.out)["findings"]
    assert (ran.code, [each["check"] for each in found]) == (1, ["agent"])


def test_nothing_can_be_mended_without_an_agent(alone: Alone, bare: Hostler) -> None:
    ran = bare("doctor", "--fix")
    assert (ran.code, ran.err) == (
        1,
        "hostler: only a running agent can mend: nothing was done\n",
    )


def test_containerd_is_asked_where_there_is_one_without_the_agent(
    alone: Alone, bare: Hostler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOSTLER_CONTAINERD", "embedded")
    bare("doctor")
    monkeypatch.setenv("HOSTLER_CONTAINERD", str(tmp_path / "containerd.sock"))
    bare("doctor")
    assert alone.clients[0] is None
    assert alone.clients[1] is not None


def test_a_configuration_that_keeps_the_agent_from_starting_is_named(
    alone: Alone, bare: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTLER_BRIGDE", "br0")
    ran = bare("doctor")
    assert ran.code == 1
    assert (
        "configuration: an agent can't start with it: HOSTLER_BRIGDE (the environment) is no"
        " setting of Hostler; did you mean HOSTLER_BRIDGE?" in ran.out
    )


@pytest.mark.parametrize("name", ["HOSTLER_SECURITY_GROUPS", "HOSTLER_ENIS"])
def test_so_is_a_file_that_it_names(
    alone: Alone, bare: Hostler, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/no/such/file")
    ran = bare("doctor")
    assert "configuration: an agent can't start with it: " in ran.out
    assert "/no/such/file" in ran.out


def test_what_the_configuration_says_in_vain_is_a_warning(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["Hostler.Diagnose"] = answer()
    monkeypatch.setenv("ECS_LOGLEVLE", "debug")
    ran = hostler("doctor")
    assert ran.code == 1
    assert "configuration: warning: ECS_LOGLEVLE (the environment) is not known" in ran.out


def test_colours_are_for_terminals(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers["Hostler.Diagnose"] = SICK
    assert "\x1b" not in hostler("doctor", "-v").out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = hostler("doctor", "-v").out
    assert "\x1b[31morphans:\x1b[0m interface hv0" in out
    assert "\x1b[33mforwarding:\x1b[0m warning: iptables" in out


def test_containerd_is_where_an_agent_would_look(monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.cli import checkup

    def refuse(settings: Settings) -> Path:
        raise PermissionError(13, "Permission denied")

    own = Path("/run/hostler/containerd/containerd.sock")
    assert checkup.containerd_socket(Settings(containerd="embedded")) == own
    assert checkup.containerd_socket(Settings(containerd="/x.sock")) == Path("/x.sock")
    monkeypatch.setattr(checkup, "shared_containerd", refuse)
    hidden = checkup.containerd_socket(Settings())
    assert hidden == Path("/run/containerd/containerd.sock")
