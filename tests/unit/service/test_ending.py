"""Which signals end an agent, and how."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.service.ending import Ending, Stopping, hold_reloads

HUP = {signal.SIGHUP}

ON_A_TERMINAL = """
import asyncio, os, sys
from agent.service.ending import Stopping

async def main():
    stopping = Stopping()
    stopping.listen()
    sys.stdout.write("listening\\n")
    sys.stdout.flush()
    while stopping.how is None:
        await stopping.asked()
        os.write(int(sys.argv[1]), f"{stopping.how}\\n".encode())

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    handler, mask = signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.signal(signal.SIGHUP, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_two_signals_end_it_for_good(number: signal.Signals) -> None:
    async with asyncio.timeout(5):
        stopping = Stopping()
        stopping.listen()
        os.kill(os.getpid(), number)
        await stopping.asked()
        stopping.make_room()
        assert stopping.how is Ending.EXIT


async def test_a_hangup_asks_for_a_successor_and_settles_nothing() -> None:
    async with asyncio.timeout(5):
        stopping = Stopping()
        stopping.listen()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await stopping.asked()
            assert stopping.how is None
        stopping.make_room()
        assert str(stopping.how) == "Ending.SUCCESSOR"
        os.kill(os.getpid(), signal.SIGTERM)
        await stopping.asked()
        assert str(stopping.how) == "Ending.EXIT"


async def test_a_hangup_that_comes_early_is_heard_when_somebody_listens() -> None:
    hold_reloads()
    signal.raise_signal(signal.SIGHUP)  # to this thread: tests have others, a young agent has none
    assert signal.SIGHUP in signal.sigpending()
    stopping = Stopping()
    stopping.listen()
    async with asyncio.timeout(5):
        await stopping.asked()
    assert stopping.how is None


async def test_who_was_started_to_ignore_it_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hold_reloads()
    Stopping().listen()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "children inherit it"


def test_a_second_request_for_a_successor_kills_nobody_once_the_loop_is_closed() -> None:
    stopping = Stopping()

    async def listen() -> None:
        stopping.listen()

    asyncio.run(listen())
    assert callable(signal.getsignal(signal.SIGHUP)), "this process would be killed"
    os.kill(os.getpid(), signal.SIGHUP)
    assert stopping.how is None


def test_on_a_terminal_a_hangup_that_somebody_sends_is_no_end_but_the_loss_of_the_terminal_is() -> (
    None
):
    told, tells = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - becomes another program
        os.set_inheritable(tells, True)
        os.execv(sys.executable, [sys.executable, "-c", ON_A_TERMINAL, str(tells)])
    os.close(tells)
    with os.fdopen(told) as said:
        assert os.read(terminal, 100).strip() == b"listening"
        os.kill(pid, signal.SIGHUP)
        assert said.readline() == "None\n"
        os.close(terminal)
        assert said.readline() == "Ending.EXIT\n"
        assert said.readline() == ""
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_without_a_terminal_a_hangup_is_never_the_end() -> None:
    script = [sys.executable, "-c", ON_A_TERMINAL, "2"]
    with subprocess.Popen(
        script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        assert ran.stdout.readline() == "listening\n"
        ran.send_signal(signal.SIGHUP)
        assert ran.stderr.readline() == "None\n"
        ran.terminate()
        assert ran.stderr.readline() == "Ending.EXIT\n"
        assert ran.wait(10) == 0
