"""Whether programs that tests start, and that sleep for a number of seconds all their own, run."""

import asyncio

import psutil


def sleeping(seconds: str) -> int:
    """How many ``sleep SECONDS`` there are."""
    every = psutil.process_iter(["cmdline"])
    return sum(each.info["cmdline"] == ["sleep", seconds] for each in every)


async def until_none_sleeps(seconds: str) -> None:
    """A killed process is there for a moment longer, and tells only its parent of its end."""
    async with asyncio.timeout(60):
        while sleeping(seconds):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
