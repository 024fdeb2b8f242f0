"""AppArmor profiles that a container names."""

from tests.vm.lab import Lab


def test_a_profile_that_is_loaded_confines_the_container(lab: Lab) -> None:
    told = lab.alpha.facts("confinement")["loaded"]
    assert "hostler-vm-test (enforce)" in told["log"]
    assert "allowed is written" in told["log"]
    assert "forbidden is refused" in told["log"]
    assert told["task"]["containers"][0]["exitCode"] == 0


def test_a_profile_that_nobody_loaded_keeps_the_container_from_starting(lab: Lab) -> None:
    told = lab.alpha.facts("confinement")["missing"]
    assert told["log"] == ""
    (container,) = told["task"]["containers"]
    assert container["reason"].startswith("CannotStartContainerError: ")
    assert "apparmor failed to apply profile" in container["reason"]
    assert "exitCode" not in container
    assert told["task"]["stopCode"] == "TaskFailedToStart"


def test_without_a_profile_nothing_is_confined(lab: Lab) -> None:
    told = lab.alpha.facts("confinement")["none"]
    assert "unconfined" in told["log"]
    assert "forbidden is refused" not in told["log"]
