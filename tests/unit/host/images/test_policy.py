"""The pull behaviours as a table."""

from __future__ import annotations

import pytest

from agent.config.adjusting import Adjusted, pull_behavior
from agent.host.images.policy import POLICIES


@pytest.mark.parametrize(
    ("behavior", "loaded", "pulled"),
    [
        ("default", True, True),
        ("always", True, True),
        ("once", True, False),
        ("prefer-cached", False, False),
    ],
)
def test_when_the_registry_is_asked(behavior: str, loaded: bool, pulled: bool) -> None:
    """For an image that is here because somebody ``loaded`` it, or this agent ``pulled`` it."""
    asked = [POLICIES[behavior].must_ask(pulled=each) for each in (False, True)]
    assert asked == [loaded, pulled]


def test_whose_images_may_come_from_this_host_instead() -> None:
    forgiving = {name for name, policy in POLICIES.items() if policy.falls_back}
    assert forgiving == {"default", "prefer-cached"}


def test_each_value_of_the_setting_has_its_policy() -> None:
    assert {pull_behavior(each) for each in POLICIES} == set(POLICIES)
    otherwise = pull_behavior("anything")
    assert isinstance(otherwise, Adjusted)
    assert otherwise.value in POLICIES
