"""The task's cgroup: parent of its containers' cgroups, with the task's CPU and memory limits.

Works on cgroup v1 (one tree per controller) and v2 (one tree). The containers' own cgroups below
are the runtime's work. Blocking, but only on the kernel's own file systems.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.task.definition import TaskDefinition

MOUNT = Path("/sys/fs/cgroup")

CPU_PERIOD_US = 100_000
_UNITS_PER_CPU = 1024
_MIB = 1024 * 1024
_V2_CONTROLLERS = "+cpu +cpuset +memory +pids +io"


class CgroupError(Exception):
    """The limits can't be set; the text says which."""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The cgroup trees of this host. ``version`` is 2 where there is only the unified tree."""

    mount: Path = MOUNT

    @property
    def version(self) -> int:
        """1 (also for hybrid hosts: the controllers are what counts) or 2."""
        return 2 if (self.mount / "cgroup.controllers").exists() else 1

    def trees(self) -> Iterator[Path]:
        """The root of every tree in which a cgroup of ours may have a directory."""
        if self.version == 2:
            yield self.mount
            return
        seen = set()
        for tree in sorted(self.mount.iterdir()):
            if tree.resolve() not in seen and (tree / "cgroup.procs").exists():
                seen.add(tree.resolve())
                yield tree.resolve()

    def ensure(self, path: str, definition: TaskDefinition) -> None:
        """The cgroup exists and holds the task's ``cpu`` and ``memory``. Raises CgroupError."""
        cpu = definition.cpu
        quota_us = cpu * CPU_PERIOD_US // _UNITS_PER_CPU if cpu else None
        memory = definition.memory * _MIB if definition.memory else None
        try:
            if self.version == 2:
                self._ensure_v2(path, quota_us, memory)
            else:
                self._ensure_v1(path, quota_us, memory)
        except OSError as error:
            raise CgroupError(f"can't limit the task's cgroup {path}: {error}") from error

    def remove(self, path: str) -> None:
        """The cgroup and all below it are gone. Raises OSError (EBUSY) while it has processes."""
        for tree in self.trees():
            _remove(tree / path.lstrip("/"))

    def remove_if_empty(self, path: str) -> None:
        """The cgroup is gone unless something else lives below it."""
        for tree in self.trees():
            with suppress(OSError):
                (tree / path.lstrip("/")).rmdir()

    def rouse(self) -> None:
        """Takes the kernel's lock for moving processes between cgroups, and lets it go again.

        Who takes it first after a quiet while waits for a grace period, some 10 ms. The runtime
        takes it for each container; when this has been done meanwhile, it need not wait. Moves the
        agent to where it is. Only speed depends on it, so failures are nobody's concern. Blocking.
        """
        with suppress(OSError, ValueError):
            (self._own() / "cgroup.procs").write_text("0")

    def _own(self) -> Path:
        """Directory of the agent's own cgroup, in one of the trees (proc_pid_cgroup(5))."""
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        of_tree = {name: path for _, name, path in (line.split(":", 2) for line in lines)}
        name = "" if self.version == 2 else next(each for each in of_tree if each)
        return self.mount / name.removeprefix("name=") / of_tree[name].lstrip("/")

    def _ensure_v1(self, path: str, quota_us: int | None, memory: int | None) -> None:
        if quota_us is not None:
            cgroup = self.mount / "cpu" / path.lstrip("/")
            cgroup.mkdir(parents=True, exist_ok=True)
            (cgroup / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
            (cgroup / "cpu.cfs_quota_us").write_text(str(quota_us))
        if memory is not None:
            cgroup = self.mount / "memory" / path.lstrip("/")
            cgroup.mkdir(parents=True, exist_ok=True)
            (cgroup / "memory.limit_in_bytes").write_text(str(memory))

    def _ensure_v2(self, path: str, quota_us: int | None, memory: int | None) -> None:
        cgroup = self.mount
        for part in path.strip("/").split("/"):
            with suppress(OSError):  # a controller that is not there can't be handed down
                (cgroup / "cgroup.subtree_control").write_text(_V2_CONTROLLERS)
            cgroup /= part
            cgroup.mkdir(exist_ok=True)
        if quota_us is not None:
            (cgroup / "cpu.max").write_text(f"{quota_us} {CPU_PERIOD_US}")
        if memory is not None:
            (cgroup / "memory.max").write_text(str(memory))


def _remove(cgroup: Path) -> None:
    """Removes a cgroup, children first; rmdir is all that a cgroup directory needs."""
    try:
        children = [each for each in cgroup.iterdir() if each.is_dir()]
    except FileNotFoundError:
        return
    for child in children:
        _remove(child)
    try:
        cgroup.rmdir()
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
