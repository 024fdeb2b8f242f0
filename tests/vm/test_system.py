"""The service on a machine of its own."""

from tests.vm.lab import Lab


def test_the_service_started_once_and_runs(lab: Lab) -> None:
    told = lab.alpha.facts("system")
    assert told["service"] == {"ActiveState": "active", "NRestarts": "0"}
    assert told["failed"] == []


def test_jobs_ended_by_themselves(lab: Lab) -> None:
    assert (lab.alpha.trouble, lab.beta.trouble, lab.again.trouble) == ("", "", "")
