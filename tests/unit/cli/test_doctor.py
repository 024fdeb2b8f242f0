"""``hostler doctor``: what it says, and the exit code that says whether anything is wrong."""

from __future__ import annotations

import json

from tests.fakes.api import Body, FakeApi, Refused
from tests.unit.cli.conftest import Hostler

FOUND = [
    {"check": "orphans", "what": "interface hv0 belongs to no task", "cure": "remove it"},
    {"check": "forwarding", "what": "iptables drops all", "cure": "let it not"},
]
SICK: Body = {"findings": FOUND, "fixed": []}


def test_a_sound_host_is_said_to_be_so(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = {"findings": [], "fixed": []}
    assert hostler("doctor") == (0, "nothing is wrong\n", "")
    assert api.asked("Hostler.Diagnose") == [{"fix": False}]


def test_what_is_wrong_is_told_with_its_cure(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = SICK
    ran = hostler("doctor")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out == (
        "orphans: interface hv0 belongs to no task\n"
        "    remove it\n"
        "forwarding: iptables drops all\n"
        "    let it not\n"
    )


def test_what_was_mended_is_told_and_all_is_well(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = {"findings": [], "fixed": ["removed interface hv0"]}
    assert hostler("doctor", "--fix") == (0, "removed interface hv0\nnothing is wrong\n", "")
    assert api.asked("Hostler.Diagnose") == [{"fix": True}]


def test_what_could_not_be_mended_is_still_wrong(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.Diagnose"] = {"findings": FOUND[1:], "fixed": ["removed interface hv0"]}
    ran = hostler("doctor", "--fix")
    assert ran.code == 1
    assert ran.out == "removed interface hv0\nforwarding: iptables drops all\n    let it not\n"


def test_as_json_it_is_the_agents_answer_with_the_same_exit_codes(
    api: FakeApi, hostler: Hostler
) -> None:
    api.answers["Hostler.Diagnose"] = SICK
    ran = hostler("doctor", "--json")
    assert (ran.code, json.loads(ran.out)) == (1, SICK)
    api.answers["Hostler.Diagnose"] = {"findings": [], "fixed": []}
    ran = hostler("doctor", "--json")
    assert (ran.code, json.loads(ran.out)) == (0, {"findings": [], "fixed": []})


def test_an_agent_that_cant_look_is_neither(api: FakeApi, hostler: Hostler) -> None:
    def refuse(body: Body) -> Body:
        raise Refused("ServerException", "netlink is unwell")

    api.answers["Hostler.Diagnose"] = refuse
    assert hostler("doctor") == (125, "", "hostler: ServerException: netlink is unwell\n")
