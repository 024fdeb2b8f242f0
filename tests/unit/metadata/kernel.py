"""A host made of files: what the kernel would say, and the time."""

import shutil
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
    """A cgroup mount, unified or one of version 1, a /proc, and the time."""

    root: Path
    now: int = MOMENT
    unified: bool = True

    @property
    def cgroups(self) -> Path:
        return self.root / "cgroup"

    @property
    def proc(self) -> Path:
        return self.root / "proc"

    def boot(self) -> None:
        self.cgroups.mkdir()
        if self.unified:
            (self.cgroups / "cgroup.controllers").write_text("cpu\n")
        self.proc.mkdir()
        (self.proc / "stat").write_text(STAT)

    def run(self, name: str, usage_us: int = 1, pid: int | None = None) -> None:
        """The container has used so much processor time; its process has a network."""
        self._write("pids", name, "pids.current", "1\n")
        if self.unified:
            self._write("cpu", name, "cpu.stat", f"usage_usec {usage_us}\n")
        else:
            self._write("cpuacct", name, "cpuacct.usage_percpu", f"{usage_us * 1000} 0\n")
        if pid is not None:
            (self.proc / str(pid) / "net").mkdir(parents=True, exist_ok=True)
            (self.proc / str(pid) / "net" / "dev").write_text(NET_DEV)

    def end(self, name: str) -> None:
        """No process is left in the cgroup, and it is removed: open files stay as they were."""
        controllers = [self.cgroups] if self.unified else list(self.cgroups.iterdir())
        self._write("pids", name, "pids.current", "0\n")
        for each in controllers:
            shutil.rmtree(each / name, ignore_errors=True)

    def kill(self, pid: int) -> None:
        shutil.rmtree(self.proc / str(pid))

    def open_files(self) -> int:
        """How many of its files this process has open, whatever else it opens and closes."""
        return sum(self._has(each) for each in Path("/proc/self/fd").iterdir())

    def _has(self, descriptor: Path) -> bool:
        try:
            return descriptor.readlink().is_relative_to(self.root)
        except FileNotFoundError:  # that of the list itself, or of another thread
            return False

    def _write(self, controller: str, name: str, file: str, text: str) -> Path:
        directory = self.cgroups / name if self.unified else self.cgroups / controller / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(text)
        return directory
