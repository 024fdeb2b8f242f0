"""Signals by the names that image configs use (STOPSIGNAL). Pure."""

from __future__ import annotations

import re
from signal import SIGRTMAX, SIGRTMIN, SIGTERM, Signals

_REALTIME = re.compile(r"(?:SIG)?RT(MIN\+|MAX-)([0-9]{1,2})")


def signal_number(text: str) -> int:
    """The number of ``SIGTERM``, ``TERM``, ``15`` or ``SIGRTMIN+3``; SIGTERM for anything else.

    An unknown name must not keep a container from being stopped.
    """
    name = text.strip().upper()
    if re.fullmatch("[0-9]{1,2}", name):
        return int(name) if 0 < int(name) <= SIGRTMAX else int(SIGTERM)
    realtime = _REALTIME.fullmatch(name)
    if realtime:
        offset = int(realtime[2])
        number = SIGRTMIN + offset if realtime[1] == "MIN+" else SIGRTMAX - offset
        return number if SIGRTMIN <= number <= SIGRTMAX else int(SIGTERM)
    return int(Signals.__members__.get("SIG" + name.removeprefix("SIG"), SIGTERM))
