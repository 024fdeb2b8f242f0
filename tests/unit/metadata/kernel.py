"""A host made of files: what the kernel would say, and the time."""

from dataclasses import dataclass
from pathlib import Path

from tests.unit.metadata.facts import MOMENT

STAT = """\
cpu  100 20 30 4000 50 6 7 800 900 0
cpu0 50 10 15 2000 25 3 3 400 450 0
cpu1 50 10 15 2000 25 3 4 400 450 0
intr 5 0 0
ctxt 77
"""
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:    9       9    9    9    0     0          0         0     9       9    9    9    0 0 0 0
  eth0:    1       2    3    4   90    91         92        93     5       6    7    8   94 0 0 0
eth0.7:1234567890 0 0 0 0 0 0 0 10 0 0 0 0 0 0 0
"""


@dataclass
class FileHost:
    """A unified cgroup mount and a /proc, and the time."""

    root: Path
    now: int = MOMENT

    @property
    def cgroups(self) -> Path:
        return self.root / "cgroup"

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def run(self, name: str, usage_us: int = 1) -> None:
        directory = self.cgroups / name
        directory.mkdir(exist_ok=True)
        (directory / "cpu.stat").write_text(f"usage_usec {usage_us}\n")
