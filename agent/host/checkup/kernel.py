"""What tasks need of the kernel that its files tell: namespaces, file systems, seccomp."""

from __future__ import annotations

from collections.abc import Iterator

from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.subject import Subject
from agent.host.containers import facts

CHECK = "kernel"

NAMESPACES = {"ipc": "IPC", "mnt": "MNT", "net": "NET", "pid": "PID", "uts": "UTS"}
"""What every container gets a namespace of, and how its option of the kernel ends."""

_FILE_SYSTEMS = {"mqueue": "POSIX_MQUEUE", "tmpfs": "TMPFS"}
"""What every container has mounted, and the options of the kernel."""


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    yield from _namespaces(subject)
    yield from _file_systems(subject)
    yield from _modules(subject)
    yield from _security(subject)


def _namespaces(subject: Subject) -> Iterator[Outcome]:
    missing = [each for each in NAMESPACES if not subject.path(f"/proc/self/ns/{each}").exists()]
    for each in missing:
        option = "CONFIG_NAMESPACES" if each == "mnt" else f"CONFIG_{NAMESPACES[each]}_NS"
        what = f"the kernel has no {each} namespaces: no container can be isolated"
        yield Finding(CHECK, what, f"use a kernel with {option}")
    if not missing:
        yield Fact(CHECK, f"namespaces: {', '.join(NAMESPACES)}")


def _file_systems(subject: Subject) -> Iterator[Outcome]:
    known = {line.split()[-1] for line in _lines(subject, "/proc/filesystems")}
    wanted = dict(_FILE_SYSTEMS)
    if subject.settings.snapshotter == "overlayfs":
        wanted["overlay"] = "OVERLAY_FS"
    for name, option in wanted.items():
        if name in known:
            yield Fact(CHECK, f"file system {name}")
        elif has_module(subject, name):
            yield Fact(CHECK, f"file system {name}, a module that is loaded when it is needed")
        else:
            what = f"the kernel has no file system {name}: containers can't start"
            yield Finding(CHECK, what, f"install the kernel's modules, or one with CONFIG_{option}")


def _modules(subject: Subject) -> Iterator[Outcome]:
    """An upgrade of the kernel takes away the modules of the one that runs."""
    if subject.in_container or not subject.text("/proc/modules"):
        return
    folder = f"/lib/modules/{_release(subject)}"
    if subject.path(folder).is_dir():
        yield Fact(CHECK, f"modules of the running kernel are in {folder}")
        return
    yield warning(
        CHECK,
        f"{folder} is gone, so the running kernel can load no module any more",
        "reboot into the kernel that is installed now, or install this one's modules again",
    )


def _security(subject: Subject) -> Iterator[Outcome]:
    if "allow" not in subject.words("/proc/sys/kernel/seccomp/actions_avail"):
        what = "the kernel has no seccomp filters: containers that are not privileged can't start"
        yield Finding(CHECK, what, "use a kernel with CONFIG_SECCOMP_FILTER")
    else:
        yield Fact(CHECK, "seccomp filters")
    apparmor = facts.apparmor(subject.path("/sys"))
    yield Fact(CHECK, f"AppArmor is {'' if apparmor else 'not '}in force")


def has_module(subject: Subject, name: str) -> bool:
    """Whether the running kernel has this module, in itself or on disk. Raises OSError."""
    folder = f"/lib/modules/{_release(subject)}"
    lists = (_lines(subject, f"{folder}/modules.{each}") for each in ("builtin", "dep"))
    return any(f"/{name}.ko" in line.partition(":")[0] for lines in lists for line in lines)


def _release(subject: Subject) -> str:
    return subject.text("/proc/sys/kernel/osrelease") or "?"


def _lines(subject: Subject, name: str) -> list[str]:
    return (subject.text(name) or "").splitlines()
