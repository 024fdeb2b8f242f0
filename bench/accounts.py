"""CPU time of everything that one peer needs: its programs and its containers, by cgroup.

A peer has one cgroup with two below it, as cgroup v2 wants processes in leaves only: ``programs``
(daemons, shims, clients) and ``containers`` (made by the runtime). The kernel adds up both, also
for processes and cgroups that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.host.cgroups.kernel import Cgroups


@dataclass(frozen=True, slots=True)
class Account:
    """The cgroup ``path``, which begins with a slash, below ``tree``."""

    tree: Path
    path: str

    @property
    def containers(self) -> str:
        """The cgroup for containers, as a path below the cgroup mount."""
        return f"{self.path}/containers"

    def enter(self, pid: int) -> None:
        """Counts the process, and what it starts from now on, here."""
        (self._directory / "programs" / "cgroup.procs").write_text(str(pid))

    def used_s(self) -> float:
        """CPU seconds so far."""
        usage = self._directory / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        lines = (self._directory / "cpu.stat").read_text().splitlines()
        stat = dict(line.split() for line in lines)
        return int(stat["usage_usec"]) / 1e6

    def running(self, program: str) -> int:
        """How many processes of this name run in the containers."""
        lists = (self._directory / "containers").rglob("cgroup.procs")
        pids = [pid for each in lists for pid in _text(each).split()]
        return sum(_text(Path("/proc", pid, "comm")).strip() == program for pid in pids)

    @property
    def _directory(self) -> Path:
        return self.tree / self.path.lstrip("/")


def open_account(root: str, name: str) -> Account:
    """The account ``name`` of the run whose cgroups are below ``root``."""
    cgroups = Cgroups()
    tree = cgroups.mount if cgroups.version == 2 else cgroups.mount / "cpuacct"
    (tree / root / name / "programs").mkdir(parents=True, exist_ok=True)
    return Account(tree, f"/{root}/{name}")


def _text(path: Path) -> str:
    """What the file says; nothing once its process or cgroup is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def used_s(accounts: Iterable[Account]) -> float:
    """CPU seconds of all of them together."""
    return sum(each.used_s() for each in accounts)
