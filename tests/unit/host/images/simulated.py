"""Coroutines in simulated time."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

T = TypeVar("T")


def at_once(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What ``work`` gives, and how many seconds it would have taken."""
    loop = looptime.new_event_loop()
    try:
        return loop.run_until_complete(work), loop.time()
    finally:
        loop.close()
