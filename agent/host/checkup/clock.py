"""The clock: whether something keeps it right, and whether it is absurd.

Requests to AWS and to this host's own API over TCP are signed with the time, and certificates are
valid for a time: where the clock is wrong, all of that is refused.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.subject import Subject

CHECK = "clock"

_UNSYNCHRONISED = 0x40
_APART_S = 300.0
"""AWS refuses signatures that are older, and hardware clocks are not that bad."""

_QUARTER_S = 900.0
_FARTHEST_ZONE_S = 14 * 3600.0

_TIMESYNCD = "/run/systemd/timesync/synchronized"


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def synchronised() -> bool:
    """Whether the kernel has been told lately that the clock is right. Raises OSError."""
    found = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"adjtimex: {os.strerror(code)}")
    return not found.status & _UNSYNCHRONISED


def check(
    subject: Subject,
    now: Callable[[], float] = time.time,
    kept: Callable[[], bool] = synchronised,
) -> Iterator[Outcome]:
    """Raises OSError."""
    yield from _sense(subject, now())
    yield from _hardware(subject, now())
    if kept() or subject.path(_TIMESYNCD).exists():
        yield Fact(CHECK, "it is synchronised")
    elif subject.in_container:
        yield Fact(
            CHECK, "it is not synchronised, which is the business of the host of this container"
        )
    else:
        what = "nothing keeps the clock right: no time service has synchronised it"
        cure = "install and start chrony or systemd-timesyncd; 'timedatectl' shows the state"
        yield warning(CHECK, what, cure)


def _sense(subject: Subject, now: float) -> Iterator[Outcome]:
    """No file of ours can be of the future."""
    state = subject.path(subject.settings.state_dir / "state.db")
    newest, path = max((_changed(each), each) for each in (Path(__file__), state))
    if now < newest - _APART_S:
        what = f"the clock says {_shown(now)}, but {path} was written at {_shown(newest)}"
        yield Finding(CHECK, what, "set the clock: 'timedatectl set-time', or start a time service")
    else:
        yield Fact(CHECK, f"it says {_shown(now)}")


def _hardware(subject: Subject, now: float) -> Iterator[Outcome]:
    """The clock that the system's was set by at boot. It may keep the local time of some zone."""
    kept = subject.number("/sys/class/rtc/rtc0/since_epoch")
    if kept is None:
        return
    apart = abs(now - kept)
    to_zone = abs(apart - round(apart / _QUARTER_S) * _QUARTER_S)
    if apart <= _APART_S or (apart <= _FARTHEST_ZONE_S + _APART_S and to_zone < _APART_S / 10):
        yield Fact(CHECK, "the hardware clock agrees")
        return
    what = f"the hardware clock says {_shown(kept)}, the system's {_shown(now)}"
    cure = "once the system's is right, run 'hwclock --systohc': the next boot begins with it"
    yield warning(CHECK, what, cure)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _shown(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
