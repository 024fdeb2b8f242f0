"""``hostler agent``: what keeps it from starting, and how it logs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent import app, config
from agent.service import handover
from agent.service.ending import Ending
from tests.unit.cli.conftest import Hostler

root = pytest.mark.skipif(os.geteuid() != 0, reason="the agent refuses anybody but root first")


@pytest.fixture
def _same_signals() -> Iterator[None]:
    handler, mask = signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.signal(signal.SIGHUP, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@root
@pytest.mark.usefixtures("_same_signals")
@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--run-dir", "relative"), "HOSTLER_RUN_DIR=relative (the command line): must be"),
        (("--set", "HOSTLER_NONSENSE=1"), "HOSTLER_NONSENSE (the command line) is no setting"),
        (("--set", "ECS_LOGLEVEL=loud"), "ECS_LOGLEVEL=loud (the command line)"),
        (("--set", "HOSTLER_RUNTIMES=/nowhere"), "HOSTLER_RUNTIMES: can't read /nowhere"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_a_code_of_its_own(
    bare: Hostler, flags: tuple[str, ...], why: str
) -> None:
    ran = bare("agent", *flags)
    assert (ran.code, ran.out) == (78, "")
    assert why in ran.err
    assert ran.err.count("\n") == 1


HANGS_UP_AMID_IMPORTS = """
import signal, sys
from agent.cli.main import main

class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "agent.app":
            signal.raise_signal(signal.SIGHUP)
            print("hung up", flush=True)

signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
sys.meta_path.insert(0, Hook())
main(["agent", "--set", "HOSTLER_NONSENSE=1"])
"""


@root
def test_a_hangup_that_comes_while_it_loads_does_not_kill_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HANGS_UP_AMID_IMPORTS], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (78, "hung up\n"), ran.stderr


@root
@pytest.mark.usefixtures("_same_signals")
def test_what_may_pass_keeps_it_from_starting_with_another(
    bare: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an address to listen on that the host gets a moment later."""

    async def fail(*_: object) -> Ending:
        raise config.ConfigError("can't listen there")

    monkeypatch.setattr(app, "run", fail)
    ran = bare("agent")
    assert (ran.code, ran.out, ran.err) == (1, "", "hostler: can't listen there\n")


@root
@pytest.mark.usefixtures("_same_signals")
@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (Ending.EXIT, 0, ""),
        (
            Ending.SUCCESSOR,
            1,
            "hostler: the agent has ended, and can't start anew as /nowhere/python: "
            "No such file or directory\n",
        ),
    ],
)
def test_a_successor_that_cant_be_started_is_said_loudly(
    bare: Hostler, monkeypatch: pytest.MonkeyPatch, ending: Ending, code: int, said: str
) -> None:
    async def end(*_: object) -> Ending:
        return ending

    monkeypatch.setattr(app, "run", end)
    monkeypatch.setattr(handover, "own_command", lambda: ["/nowhere/python"])
    ran = bare("agent")
    assert (ran.code, ran.err) == (code, said)
    assert signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_setting_needs_a_value(bare: Hostler) -> None:
    assert bare("agent", "--set", "ECS_LOGLEVEL").err == (
        "hostler: --set ECS_LOGLEVEL: give NAME=VALUE\n"
    )
