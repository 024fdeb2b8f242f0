"""What all tests rely on, and how they are shared out among several processes (``pytest -n``).

Each of these workers has a network namespace of its own, so that what tests do to the host's
network (addresses, bridges, firewall tables) never meets.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import inventory

# pytest-asyncio 1.x asks for the current loop before each test to put it back afterwards; where
# none was ever set Python 3.11 makes one, which nobody closes. May go with Python 3.14.
asyncio.set_event_loop(None)

_CLONE_NEWNET = 0x40000000

_LONG = (
    *("test_task_crash_points.py", "test_install.py", "test_task_cut_creation.py"),
    *("test_package.py", "test_systemd.py", "test_systemd_operation.py", "test_plan_machine.py"),
)
"""Files whose tests take more than a minute, the longest first."""

_BEFORE = pytest.StashKey[inventory.Inventory]()
_LEFT = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """A worker enters a network namespace of its own; all that it starts is in there too."""
    _heed_signals()
    _compile_once()
    if not hasattr(config, "workerinput") or os.geteuid() != 0:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "make a network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: _turn(item.path))


def _turn(path: Path) -> int:
    """Unit tests are the quickest, and fill up what is left."""
    if path.name in _LONG:
        return _LONG.index(path.name)
    return len(_LONG) + ("unit" in path.parts)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Who has workers notes what is on the host, besides what each of them looks after."""
    if _has_workers(session.config):
        session.config.stash[_BEFORE] = inventory.take(inventory.SHARED)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The tests fail if they have left something on the host."""
    if _BEFORE not in session.config.stash:
        return
    left = inventory.added_since(session.config.stash[_BEFORE])
    session.config.stash[_LEFT] = left
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says what was left."""
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("the tests left on the host", red=True)
        terminalreporter.write_line("\n".join(left))


def _heed_signals() -> None:
    """What a script's shell starts in the background is deaf to Ctrl-C, and by nohup(1) to hangups.

    Tests send both, also to programs that they start, which would be deaf as well.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)  # the tests themselves go on


def _compile_once() -> None:
    """Agents that tests start are not compiled anew each time, which takes longer than the rest.

    Who keeps Python from writing beside the sources gets it written to the environment's directory.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(sys.prefix) / "pycache"))


def _has_workers(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "numprocesses", None))
