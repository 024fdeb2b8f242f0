from __future__ import annotations

import subprocess
import sys

LOOK = """
import ctypes
from agent.service.secrecy import forbid_dumps
dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
before = dumpable()
forbid_dumps()
print(before, dumpable())
"""


def test_a_process_that_forbade_it_leaves_no_core() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == ["1", "0"]
