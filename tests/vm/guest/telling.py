"""What a machine tells its host: one file of facts for each check, and waiting for words back."""

from __future__ import annotations

import json
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Facts = dict[str, Any]

SHARE: Final = Path("/mnt/host")
"""The host's directory; the host sees what is written at once, and the other way round."""

DEADLINE_S: Final = 600.0
"""For what takes a second on a real machine."""

COMMAND_S: Final = 300.0


def tell(name: str, facts: Facts) -> None:
    """The host has these facts under that name, complete."""
    half = SHARE / f"{name}.half"
    half.write_text(json.dumps(facts))
    half.rename(SHARE / name)


def check(name: str, work: Callable[[], Facts]) -> None:
    """Tells what comes of ``work``: its facts, or the error that kept it from them."""
    began = time.monotonic()
    try:
        facts = work()
    except Exception:  # noqa: BLE001 - the next check goes on, and the test of this one fails
        facts = {"error": traceback.format_exc()}
    tell(name, {**facts, "seconds": round(time.monotonic() - began, 1)})


def until(happened: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first thing that is true. Raises TimeoutError."""
    end = time.monotonic() + deadline_s
    while not (found := happened()):
        if time.monotonic() > end:
            raise TimeoutError(f"not in {deadline_s:g} s: {what}")
        time.sleep(0.5)  # noqa: TID251 - an emulated processor is slow, and asking takes all of it
    return found


def until_asked(name: str) -> None:
    """The host has made a file of this name."""
    until((SHARE / name).exists, f"the host asks for {name}")


def output(*command: str) -> str:
    """What a program prints, which must succeed."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if ran.returncode:
        raise RuntimeError(f"{command} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout
