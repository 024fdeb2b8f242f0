"""What a runtime spec must know of this host, and its devices when asked for."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from agent.host.cgroups.kernel import Cgroups
from agent.oci.edits import DeviceNode
from agent.oci.inputs import DEFAULT_NOFILE, HostFacts, SelinuxLabels

_BY_NUMBER = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG
MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_CAPABILITIES = _BY_NUMBER.split()
"""By number (capabilities(7))."""

_SYS_MOUNT_SETATTR = 442  # the same number on every architecture

_INIT_PROGRAMS = (Path("/usr/bin/catatonit"), Path("/usr/libexec/podman/catatonit"))


def gather(cgroups: Cgroups) -> HostFacts:
    """The facts that don't change while the agent runs. Blocking."""
    version: Literal[1, 2] = 2 if cgroups.version == 2 else 1
    capabilities = frozenset(_bounding())
    return HostFacts(
        cgroup_version=version,
        machine=os.uname().machine,
        capabilities=capabilities,
        nofile=_open_files(capabilities),
        devices=tuple(_all_devices(Path("/dev"))),
        apparmor=apparmor(Path("/sys")),
        selinux=selinux(Path("/sys"), Path("/etc/selinux")),
        recursive_read_only=_has_mount_setattr(),
    )


def device(path: Path) -> DeviceNode:
    """The device node at ``path``. Raises OSError (also when it is no device)."""
    found = path.stat()
    if stat.S_ISCHR(found.st_mode):
        kind: Literal["b", "c"] = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise OSError(f"{path} is not a device")
    return DeviceNode(
        path=str(path),
        type=kind,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )


def init_program() -> str | None:
    """The static init for initProcessEnabled, or None where catatonit is not installed."""
    return next((str(each) for each in _INIT_PROGRAMS if each.exists()), None)


def apparmor(sys: Path) -> bool:
    """Whether AppArmor is in force; ``sys`` is where sysfs is mounted."""
    parameter = sys / "module/apparmor/parameters/enabled"
    return parameter.exists() and parameter.read_text().startswith("Y")


def selinux(sys: Path, etc: Path) -> SelinuxLabels | None:
    """The labels for containers of the policy in force (selinux(8)), None without SELinux.

    ``etc`` has the policies; one that says nothing of containers leaves it at what is usual.
    """
    if not (sys / "fs/selinux/enforce").exists():
        return None
    policy = _assigned(etc / "config").get("SELINUXTYPE", "targeted")
    found = _assigned(etc / policy / "contexts/lxc_contexts")
    usual = SelinuxLabels()
    return SelinuxLabels(found.get("process", usual.process), found.get("file", usual.file))


def _assigned(path: Path) -> dict[str, str]:
    """The ``name = "value"`` lines of a file that need not be there."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name.strip(): value.strip().strip('"') for name, equals, value in pairs if equals}


def _bounding() -> Iterator[str]:
    """Capabilities in the agent's bounding set, which it can give to containers."""
    text = Path("/proc/self/status").read_text()
    (line,) = (each for each in text.splitlines() if each.startswith("CapBnd:"))
    held = int(line.split()[1], 16)
    return (name for number, name in enumerate(_CAPABILITIES) if held >> number & 1)


def _has_mount_setattr() -> bool:
    """Whether the kernel knows the call; asked for nothing, it finds the question wrong."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(_SYS_MOUNT_SETATTR, -1, None, 0, None, 0)
    return ctypes.get_errno() != errno.ENOSYS


def _open_files(capabilities: frozenset[str]) -> tuple[int, int]:
    """Soft and hard limit of open files: without SYS_RESOURCE no more than the agent itself may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if "SYS_RESOURCE" in capabilities or hard == resource.RLIM_INFINITY:
        return DEFAULT_NOFILE
    return min(DEFAULT_NOFILE[0], hard), min(DEFAULT_NOFILE[1], hard)


def _all_devices(root: Path) -> Iterator[DeviceNode]:
    """Devices for privileged containers: all of /dev that are no terminals of somebody's."""
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.name in ("console", "pts", "shm", "mqueue", "fd"):
            continue
        with suppress(FileNotFoundError):  # somebody may unplug it at any time
            if path.is_char_device() or path.is_block_device():
                yield device(path)
            elif path.is_dir():
                yield from _all_devices(path)
