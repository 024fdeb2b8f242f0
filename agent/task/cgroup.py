"""Where the cgroups of a task and of its containers are: below a directory, or a systemd slice.

A task keeps the path that it got when it was accepted, so tasks of both kinds can live side by
side. Paths are below the cgroup mount. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

SCOPE_PREFIX = "hostler"
"""Container scopes are called ``hostler-<container id>.scope``."""

_SLICE = ".slice"


@dataclass(frozen=True, slots=True)
class TaskCgroup:
    """The cgroup of one task. Its last part ends in ``.slice`` where systemd makes it."""

    path: str

    @property
    def slice(self) -> str:
        """The slice that systemd makes for the task; "" where it has no part in this."""
        last = self.path.rpartition("/")[2]
        return last if last.endswith(_SLICE) else ""

    def container(self, container_id: str) -> str:
        """Path of a container's cgroup."""
        if self.slice:
            return f"{self.path}/{SCOPE_PREFIX}-{container_id}.scope"
        return f"{self.path}/{container_id}"

    def for_runtime(self, container_id: str) -> str:
        """``cgroupsPath`` for runc and what is like it: a path, or slice, prefix and name."""
        if self.slice:
            return f"{self.slice}:{SCOPE_PREFIX}:{container_id}"
        return self.container(container_id)


@dataclass(frozen=True, slots=True)
class CgroupRoot:
    """Below what the cgroups of new tasks are: an absolute path, or the name of a slice."""

    parent: str

    @property
    def systemd(self) -> bool:
        """Whether systemd makes the cgroups."""
        return not self.parent.startswith("/")

    @property
    def path(self) -> str:
        """Its path. A dash in a slice's name stands for a level (systemd.slice(5))."""
        if not self.systemd:
            return self.parent
        words = self.parent.removesuffix(_SLICE).split("-")
        levels = ("-".join(words[: count + 1]) + _SLICE for count in range(len(words)))
        return "".join(f"/{each}" for each in levels)

    def of(self, task_id: str) -> TaskCgroup:
        """The cgroup of a task that is accepted now."""
        if not self.systemd:
            return TaskCgroup(f"{self.parent}/{task_id}")
        return TaskCgroup(f"{self.path}/{self.parent.removesuffix(_SLICE)}-{task_id}{_SLICE}")
