"""The cgroups of tasks, whoever makes them: parents of their containers' cgroups, with the limits.

Directly in the kernel's trees, or as slices of systemd: the latter is told the limits, so that they
outlive whatever it does, and then they are written as well, since a systemd in a container does not
have all controllers of cgroup v1. Blocking.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import SIGKILL

from agent.host.cgroups import slices
from agent.host.cgroups.kernel import CgroupError, Cgroups
from agent.host.cgroups.slices import Slices
from agent.settings import Settings
from agent.task import limits, names
from agent.task.cgroup import CgroupRoot
from agent.task.limits import LimitRules, TaskLimits
from agent.task.model import Task
from agent.task.names import Names

log = logging.getLogger(__name__)

KILLED = 128 + SIGKILL
"""Exit status of a process that SIGKILL ended."""


@dataclass(frozen=True, slots=True)
class TaskCgroups:
    """``of`` knows where each task's are, ``root`` where new ones come, ``rules`` their limits."""

    of: Names
    root: CgroupRoot = field(default_factory=lambda: CgroupRoot("/hostler"))
    rules: LimitRules = field(default_factory=LimitRules)
    kernel: Cgroups = field(default_factory=Cgroups)
    systemd: Slices = field(default_factory=Slices)
    unlimited_because: str = ""
    """Why tasks have no limits although nobody said so."""

    def ensure(self, task: Task) -> None:
        """The task's cgroup exists, with its limits. Raises CgroupError."""
        cgroup, limit = self.of.task_cgroup(task), limits.of_task(task.definition, self.rules)
        if cgroup.slice:
            self.systemd.ensure(cgroup.slice, limit)
        self.kernel.ensure(cgroup.path, limit)

    def shown(self, task: Task) -> TaskLimits:
        """What its containers are given that have no such limits of their own."""
        return limits.of_container(task.definition, self.rules)

    def remove(self, task: Task) -> None:
        """The task's cgroup is gone. Raises CgroupError; OSError (EBUSY) while it has processes."""
        cgroup = self.of.task_cgroup(task)
        if cgroup.slice:
            self.systemd.stop(cgroup.slice)
        self.kernel.remove(cgroup.path)

    def remove_root(self) -> None:
        """What the tasks' cgroups were in is gone if it is empty. Slices are left to systemd."""
        if not self.root.systemd:
            self.kernel.remove_if_empty(self.root.path)

    def out_of_memory(self, task: Task, name: str, status: int, *, killed: bool) -> bool:
        """Whether the kernel killed a process of this ended container for want of memory.

        Any process of it, as with Docker: its program may have ended well after that. systemd takes
        the cgroup away as soon as it is empty. Then the task's own tells of all its containers: it
        was this one that the kernel killed if SIGKILL ended it and we sent none (``killed``).
        """
        cgroup = self.of.task_cgroup(task)
        own = self.kernel.memory_kills(cgroup.container(names.container_id(task.id, name)))
        if own is not None:
            return own > 0
        if status != KILLED or killed:
            return False
        return (self.kernel.memory_kills(cgroup.path) or 0) > 0


def open_cgroups(settings: Settings, kernel: Cgroups, booted: Path = slices.BOOTED) -> TaskCgroups:
    """The cgroups of the tasks of an agent with these settings, made ready.

    Raises CgroupError if cgroups can't be made as demanded, or limits can't be set that were
    demanded; if they were not, tasks have none, as with ECS.
    """
    root = root_of(settings, version=kernel.version, booted=booted.is_dir())
    rules = LimitRules(
        enabled=settings.task_limits is not False,
        period_us=round(settings.cpu_period_s * 1e6),
        pids=settings.pids_limit,
        shown=settings.limits_shown,
    )
    cgroups = TaskCgroups(settings.names, root, rules, kernel)
    try:
        if root.systemd:
            cgroups.systemd.check()
        if rules.enabled:
            kernel.prepare("/" if root.systemd else root.path)
    except CgroupError as error:
        if settings.task_limits:
            raise CgroupError(f"ECS_ENABLE_TASK_CPU_MEM_LIMIT=true: {error}") from error
        log.warning("tasks have no limits of their own: %s", error)
        off = replace(rules, enabled=False)
        return replace(cgroups, rules=off, unlimited_because=str(error))
    return cgroups


def root_of(settings: Settings, *, version: int, booted: bool) -> CgroupRoot:
    """Where new tasks' cgroups come, by HOSTLER_CGROUP_DRIVER and HOSTLER_CGROUP_PARENT.

    By default systemd makes them where it is the first process and cgroups are of version 2, since
    nobody else should write to its tree then. Raises CgroupError if it is to and is not there.
    """
    driver, parent = settings.cgroup_driver, settings.cgroup_parent
    if driver == "auto" and parent:
        driver = "cgroupfs" if parent.startswith("/") else "systemd"
    elif driver == "auto":
        driver = "systemd" if booted and version == 2 else "cgroupfs"
    if driver == "systemd" and not booted:
        asked = f"HOSTLER_CGROUP_PARENT={parent}" if parent else "HOSTLER_CGROUP_DRIVER=systemd"
        raise CgroupError(
            f"{asked} needs systemd as the first process of this host; "
            "without it use HOSTLER_CGROUP_DRIVER=cgroupfs"
        )
    return CgroupRoot(parent or ("hostler.slice" if driver == "systemd" else "/hostler"))
