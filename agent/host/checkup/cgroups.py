"""The cgroups of this host: version, controllers, and who makes those of tasks."""

from __future__ import annotations

from collections.abc import Iterator

from agent.host.cgroups import slices
from agent.host.cgroups.kernel import CgroupError, Cgroups
from agent.host.cgroups.tasks import root_of
from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.subject import Subject

CHECK = "cgroups"

_LIMITS = {
    "cpu": "CPU limits and shares",
    "memory": "memory limits, and statistics of memory",
    "pids": "ECS_TASK_PIDS_LIMIT",
}
_USEFUL = {"cpuset": "containers that are bound to CPUs"}


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    mount = subject.path("/sys/fs/cgroup")
    cgroups = Cgroups(mount)
    if not mount.is_dir() or not any(mount.iterdir()):
        what = "no cgroups are mounted at /sys/fs/cgroup: no container can start"
        yield Finding(CHECK, what, "mount -t cgroup2 none /sys/fs/cgroup, or let systemd do it")
        return
    yield from _mode(subject, cgroups)
    yield from _controllers(subject, cgroups)
    yield from _driver(subject, cgroups)


def _mode(subject: Subject, cgroups: Cgroups) -> Iterator[Outcome]:
    if cgroups.version == 2:
        yield Fact(CHECK, "version 2")
    elif subject.path("/sys/fs/cgroup/unified").is_dir():
        yield Fact(CHECK, "hybrid: controllers are of version 1")
    else:
        yield Fact(CHECK, "version 1")


def _controllers(subject: Subject, cgroups: Cgroups) -> Iterator[Outcome]:
    have = set(_available(subject, cgroups))
    for controller, purpose in {**_LIMITS, **_USEFUL}.items():
        if controller in have:
            continue
        what = f"there is no controller {controller}, so no {purpose}"
        if controller in _LIMITS and subject.settings.task_limits is not False:
            yield Finding(CHECK, what, _cure(subject, controller))
        else:
            yield warning(CHECK, what, _cure(subject, controller))
    if have:
        yield Fact(CHECK, f"controllers: {' '.join(sorted(have))}")


def _available(subject: Subject, cgroups: Cgroups) -> list[str]:
    if cgroups.version == 2:
        return subject.words("/sys/fs/cgroup/cgroup.controllers")
    return [each.name for each in cgroups.mount.iterdir() if (each / "cgroup.procs").exists()]


def _cure(subject: Subject, controller: str) -> str:
    line = subject.words("/proc/cmdline")
    disabled = [each for each in line if each.startswith("cgroup_disable=") and controller in each]
    if disabled:
        return f"take {disabled[0]} out of the kernel's command line and reboot"
    if controller == "memory":
        return "boot with cgroup_enable=memory, or a kernel with CONFIG_MEMCG"
    if (
        subject.path("/sys/fs/cgroup/unified").is_dir()
        or not subject.path("/sys/fs/cgroup/cgroup.controllers").exists()
    ):
        return f"mount the controller {controller} below /sys/fs/cgroup, or boot with version 2"
    return f"use a kernel with the controller {controller}; in a container, let the host lend it"


def _driver(subject: Subject, cgroups: Cgroups) -> Iterator[Outcome]:
    booted = subject.path(slices.BOOTED).is_dir()
    try:
        root = root_of(subject.settings, version=cgroups.version, booted=booted)
    except CgroupError as error:
        yield Finding(CHECK, str(error), "correct the setting that is named and start the agent")
        return
    if not root.systemd and booted and cgroups.version == 2:
        yield warning(
            CHECK,
            "the driver is cgroupfs, but systemd is the first process and owns the tree of version"
            " 2: it may move or remove what it did not make",
            "leave HOSTLER_CGROUP_DRIVER and HOSTLER_CGROUP_PARENT unset, or use driver systemd",
        )
        return
    yield Fact(CHECK, f"tasks' cgroups are made by {'systemd' if root.systemd else 'the agent'}")
