"""The kernel's files of cgroups: limits of a task's cgroup, its removal, and who was killed there.

Works on cgroup v1 (one tree per controller) and v2 (one tree). The containers' own cgroups below
are the runtime's work. Blocking, but only on the kernel's own file systems.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.task.limits import MAX_SHARES, MIN_SHARES, TaskLimits

MOUNT = Path("/sys/fs/cgroup")

_HANDED_DOWN = ("+cpu", "+cpuset", "+memory", "+pids", "+io")
_NEEDED = ("cpu", "memory", "pids")
"""Controllers that hold a task's limits."""


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
        for tree in sorted(self.mount.iterdir()) if self.mount.is_dir() else ():
            if tree.resolve() not in seen and (tree / "cgroup.procs").exists():
                seen.add(tree.resolve())
                yield tree.resolve()

    def prepare(self, path: str) -> None:
        """The cgroup exists, and below it limits can be set. Raises CgroupError if they can't."""
        try:
            missing = self._prepare_v2(path) if self.version == 2 else self._prepare_v1(path)
        except OSError as error:
            raise CgroupError(f"can't make the cgroup {path}: {error}") from error
        if missing:
            raise CgroupError(
                f"the kernel has no controller {' nor '.join(missing)} for the cgroup {path}"
            )

    def ensure(self, path: str, limits: TaskLimits) -> None:
        """The cgroup exists and has these limits. Raises CgroupError."""
        try:
            if self.version == 2:
                self._ensure_v2(path, limits)
            else:
                self._ensure_v1(path, limits)
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

    def memory_kills(self, path: str) -> int | None:
        """How many of its processes the kernel has killed for want of memory; None if it is gone.

        A limit of a cgroup above, or the whole host's, counts as well. With v2 processes of cgroups
        below count too, those that are gone by now among them.
        """
        below = path.lstrip("/")
        if self.version == 2:
            file = self.mount / below / "memory.events"
        else:
            file = self.mount / "memory" / below / "memory.oom_control"
        try:
            lines = file.read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

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

    def _prepare_v1(self, path: str) -> list[str]:
        trees = [self.mount / each for each in _NEEDED]
        missing = [each.name for each in trees if not each.is_dir()]
        for each in trees if not missing else ():
            (each / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        return missing

    def _prepare_v2(self, path: str) -> list[str]:
        cgroup = self._made_v2(path)
        have = (cgroup / "cgroup.controllers").read_text().split()
        return [each for each in _NEEDED if each not in have]

    def _ensure_v1(self, path: str, limits: TaskLimits) -> None:
        below = path.lstrip("/")
        files: list[tuple[str, str, object]] = []
        if limits.quota_us is not None:
            files.append(("cpu", "cpu.cfs_period_us", limits.period_us))
            files.append(("cpu", "cpu.cfs_quota_us", limits.quota_us))
        if limits.shares is not None:
            files.append(("cpu", "cpu.shares", limits.shares))
        if limits.memory is not None:
            files.append(("memory", "memory.limit_in_bytes", limits.memory))
        if limits.pids is not None:
            files.append(("pids", "pids.max", limits.pids))
        for tree, name, value in files:
            cgroup = self.mount / tree / below
            cgroup.mkdir(parents=True, exist_ok=True)
            (cgroup / name).write_text(str(value))

    def _ensure_v2(self, path: str, limits: TaskLimits) -> None:
        cgroup = self._made_v2(path)
        files: dict[str, object] = {}
        if limits.quota_us is not None:
            files["cpu.max"] = f"{limits.quota_us} {limits.period_us}"
        if limits.shares is not None:
            files["cpu.weight"] = weight(limits.shares)
        if limits.memory is not None:
            files["memory.max"] = limits.memory
        if limits.pids is not None:
            files["pids.max"] = limits.pids
        for name, value in files.items():
            (cgroup / name).write_text(str(value))

    def _made_v2(self, path: str) -> Path:
        """The cgroup, to which all controllers are handed down that are there."""
        cgroup = self.mount
        for part in path.strip("/").split("/"):
            _hand_down(cgroup / "cgroup.subtree_control")
            cgroup /= part
            cgroup.mkdir(exist_ok=True)
        return cgroup


def weight(shares: int) -> int:
    """The weight in cgroup v2, 1 to 10000, for shares of v1."""
    span = MAX_SHARES - MIN_SHARES
    return 1 + (shares - MIN_SHARES) * 9999 // span


def _hand_down(control: Path) -> None:
    """All controllers that are there; all at once fails if one is not."""
    for each in (" ".join(_HANDED_DOWN), *_HANDED_DOWN):
        try:
            control.write_text(each)
        except OSError:
            continue
        if each not in _HANDED_DOWN:
            return


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
