"""The command of a health check. Running it is tested on real containers."""

from __future__ import annotations

import pytest

from agent.host.containers import probes
from agent.task.definition import HealthCheck


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (["CMD", "curl", "-f", "http://localhost"], ["curl", "-f", "http://localhost"]),
        (["CMD-SHELL", "curl -f $URL || exit 1"], ["/bin/sh", "-c", "curl -f $URL || exit 1"]),
        (["curl", "-f"], ["curl", "-f"]),
    ],
)
def test_the_command_as_arguments(command: list[str], arguments: list[str]) -> None:
    assert probes.arguments(HealthCheck(command=tuple(command))) == arguments
