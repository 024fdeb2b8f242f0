"""The power is cut while tasks run and ten more start: none is forgotten, and nothing is left."""

import json

from tests.vm.guest.crash import STARTING
from tests.vm.lab import Lab
from tests.vm.wires import ENDS


def test_tasks_were_starting_when_the_power_was_cut(lab: Lab) -> None:
    statuses = list(lab.beta.facts("cut").values())
    assert len([each for each in statuses if each == "RUNNING"]) >= 1
    assert len([each for each in statuses if each != "RUNNING"]) >= 1


def test_every_task_is_accounted_for(lab: Lab) -> None:
    arns = json.loads((lab.beta.share / "accepted").read_text())["arns"]
    assert len(arns) == STARTING + len(ENDS)
    told = lab.again.facts("crashed")
    assert told["failures"] == []
    assert sorted(each["taskArn"] for each in told["tasks"]) == sorted(arns)
    assert set(arns) <= set(told["listed"])


def test_those_that_ran_have_stopped_and_say_why(lab: Lab) -> None:
    ran = {arn for arn, status in lab.beta.facts("cut").items() if status == "RUNNING"}
    told = {each["taskArn"]: each for each in lab.again.facts("crashed")["tasks"]}
    for arn in ran:
        assert told[arn]["lastStatus"] == "STOPPED"
        assert "ContainerVanishedError" in told[arn]["containers"][0]["reason"]
        assert told[arn]["stoppedReason"]


def test_the_others_have_stopped_with_a_reason_or_run(lab: Lab) -> None:
    for each in lab.again.facts("crashed")["tasks"]:
        assert each["lastStatus"] == "RUNNING" or each["stoppedReason"]


def test_nothing_is_left_and_new_tasks_run(lab: Lab) -> None:
    told = lab.again.facts("crashed")
    assert told["fresh"]["lastStatus"] == "RUNNING"
    # The machine has no time service, and is told so.
    assert [each for each in told["findings"] if each["check"] != "clock"] == []
    assert told["containers"] == []
    assert told["snapshots"] == []
