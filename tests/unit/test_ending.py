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
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            loop.remove_signal_handler(number)
