"""The agent's clock is set by an hour while it runs: nothing is done early, nothing an hour late.

Only what the agent's own code asks is wrong, by what is in a file. containerd, shims, router and
containers have the machine's clock, and so has gRPC: it works out its deadlines with the
interpreter's clock, and keeps them by the kernel's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.system.agent import ROOT, Agent, kept_clean
from tests.system.tasks import SERVES, WAITS, run, shell

HOUR_S = 3600
STUBBORN = f"trap '' TERM; echo up; {WAITS}; {WAITS}"

_PROGRAM = """
import pathlib, sys, time
right, wrong_by = time.time, pathlib.Path(sys.argv.pop(1))

def told():
    asking = sys._getframe(1).f_globals["__name__"]
    ours = asking.startswith(("agent.", "metadata."))
    return right() + (float(wrong_by.read_text()) if ours else 0)

time.time = told
from agent.cli.main import main
main(sys.argv[1:])
"""


class MisledAgent(Agent):
    """An agent whose clock can be set."""

    def set_clock(self, by: float) -> None:
        """By so many seconds from the right time."""
        new = self.root / "clock.new"
        new.write_text(str(by))
        new.rename(self.root / "clock")

    def _spawned(self, notify: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
        flags = [f"--set={name}={value}" for name, value in self.settings.items()]
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(self.root / "clock"), "agent", *flags],
            cwd=ROOT,
            env={"NOTIFY_SOCKET": str(notify), "ECS_LOGLEVEL": "warn", "PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@pytest.fixture
def agent() -> Iterator[MisledAgent]:
    made = MisledAgent(Path(tempfile.mkdtemp(prefix="ht-")), {})
    made.set_clock(0)
    with kept_clean(made) as agent:
        yield agent


@pytest.mark.parametrize("by", [HOUR_S, -HOUR_S])
def test_a_clock_that_is_set_ends_nothing_early_and_delays_nothing(
    agent: MisledAgent, by: int
) -> None:
    check = {
        "command": ["CMD-SHELL", "true"],
        "interval": 5,
        "retries": 1,
        "startPeriod": 5,
        "timeout": 60,
    }
    serving = run(agent, shell("app", SERVES, healthCheck=check))
    patient = run(agent, shell("app", STUBBORN, stopTimeout=100))
    stubborn = run(agent, shell("app", STUBBORN, stopTimeout=8))
    for each in (serving, patient, stubborn):
        each.until_log("app")
    pids = [each.pid("app") for each in (serving, patient)]
    for each in (patient, stubborn):
        each.stop()
        each.until_step("signalled", "app", "SIGTERM")
    agent.set_clock(by)
    ended = run(agent, shell("app", "echo after; exit 3"))
    assert abs(ended.shown()["createdAt"] - time.time() - by) < HOUR_S / 2, "its clock was not set"
    ended.until_closed()
    stubborn.until_closed()
    # By the new clock, both: what is past has moved with it.
    waited = stubborn.at("app", "signalled", "SIGKILL") - stubborn.at("app", "signalled", "SIGTERM")
    assert waited > 7, "it was killed early"
    assert (ended.exit_codes(), stubborn.exit_codes()) == ({"app": 3}, {"app": 137})
    serving.until_step("healthy", "app")
    assert [each.pid("app") for each in (serving, patient)] == pids
    assert patient.shown()["lastStatus"] != "STOPPED"
    assert serving.shown()["healthStatus"] == "HEALTHY"
    for each in (serving, patient):
        each.end()
    for each in (serving, patient, stubborn, ended):
        assert each.leftovers() == []
    assert "Traceback" not in agent.said()
