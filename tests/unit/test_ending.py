"""Which signals end an agent, and how."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from agent.ending import Ending, Stopping


@pytest.mark.parametrize(
    ("signals", "how"),
    [
        ([signal.SIGTERM], Ending.EXIT),
        ([signal.SIGINT], Ending.EXIT),
        ([signal.SIGUSR2], Ending.SUCCESSOR),
        ([signal.SIGUSR2, signal.SIGUSR2], Ending.SUCCESSOR),
        ([signal.SIGUSR2, signal.SIGTERM], Ending.EXIT),
        ([signal.SIGTERM, signal.SIGUSR2], Ending.EXIT),
    ],
)
async def test_signals_say_how_the_agent_ends(signals: list[signal.Signals], how: Ending) -> None:
    stopping, loop = Stopping(), asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGUSR2)
    stopping.listen()
    assert stopping.how is None
    handled = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, handled.set)
    try:
        for each in signals:
            handled.clear()
            os.kill(os.getpid(), each)
            os.kill(os.getpid(), signal.SIGUSR1)  # signals are handled in the order they come
            async with asyncio.timeout(5):
                await handled.wait()
        async with asyncio.timeout(5):
            await stopping.asked()
        assert stopping.how is how
    finally:
        signal.signal(signal.SIGUSR2, before)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            loop.remove_signal_handler(number)


def test_a_second_request_for_a_successor_kills_nobody_once_the_loop_is_closed() -> None:
    stopping, before = Stopping(), signal.getsignal(signal.SIGUSR2)

    async def listen() -> None:
        stopping.listen()

    try:
        asyncio.run(listen())
        assert callable(signal.getsignal(signal.SIGUSR2)), "this process would be killed"
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stopping.how is None
    finally:
        signal.signal(signal.SIGUSR2, before)
