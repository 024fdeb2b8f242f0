"""Several things at once, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable


async def together(works: Iterable[Coroutine[None, None, None]]) -> None:
    """All of them are done. Raises what the first one to fail raised.

    The others are cancelled then, as all are with the caller, and have ended before this does.
    """
    failed: list[Exception] = []

    async def watched(work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - raised below
            failed.append(error)
            everything.cancel()

    everything = asyncio.gather(*map(watched, works))
    try:
        await everything
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not failed or (task is not None and task.cancelling()):
            raise
    if failed:
        raise failed[0]
