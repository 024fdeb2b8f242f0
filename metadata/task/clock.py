"""How far the host's clock may be off, as the kernel keeps it for whoever disciplines it.

`ClockDrift` of version 4 comes from this: chrony, ntpd and timesyncd all tell the kernel.
Source: adjtimex(2).
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from metadata.source import Instant

_LIBC = ctypes.CDLL(None)
_FRESH_NS = 60 * 1_000_000_000  # the bound grows by half a millisecond a second at most
_UNSYNCHRONIZED = 0x40  # STA_UNSYNC


class _Timex(ctypes.Structure):
    """`struct timex` up to what is read, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error_us", ctypes.c_long),
        ("estimated_error_us", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The clock at one moment: whether something keeps it right, and the bound of its error."""

    at: Instant
    error_bound_ms: float
    synchronized: bool


def read(now_ns: int) -> ClockFacts | None:
    """What the kernel says, None if it doesn't (a sandbox may forbid the question)."""
    timex = _Timex()
    if _LIBC.adjtimex(ctypes.byref(timex)) < 0:
        return None
    return ClockFacts(
        Instant(now_ns), timex.max_error_us / 1000, not timex.status & _UNSYNCHRONIZED
    )


@dataclass(slots=True)
class HostClock:
    """What the kernel said a minute ago at most; the same object until it is asked again."""

    ask: Callable[[int], ClockFacts | None] = read
    now: Callable[[], int] = time.time_ns
    _known: ClockFacts | None = field(default=None)
    _asked_at: int = -_FRESH_NS

    def facts(self) -> ClockFacts | None:
        """The clock's state."""
        now = self.now()
        if not 0 <= now - self._asked_at < _FRESH_NS:
            self._known, self._asked_at = self.ask(now), now
        return self._known
