"""What the agent has in its memory stays there: secrets, keys and credentials of tasks."""

from __future__ import annotations

import ctypes
import os

_PR_SET_DUMPABLE = 4


def forbid_dumps() -> None:
    """No core of this process is ever written, also when the watchdog aborts it (prctl(2)).

    Its children have them as before, and containers with them: a limit would be inherited. Raises
    OSError.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl: {os.strerror(code)}")
