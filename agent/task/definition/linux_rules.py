"""The limits that ECS sets for what a container asks of the kernel.

linuxParameters, ulimits, systemControls and dockerSecurityOptions; used by ``container_rules``,
paths relative to the container. The names of capabilities and mount options are those of
capabilities(7) and of the ECS API.
"""

import re
from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition, LinuxParameters
from agent.task.definition.problems import Problem

_CAPABILITY_NAMES = """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE
    DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN
    MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID
    SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE
    SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
"""
CAPABILITIES = frozenset(_CAPABILITY_NAMES.split())

_TMPFS_OPTION_NAMES = """
    defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync mand nomand atime noatime
    diratime nodiratime unbindable runbindable private rprivate shared rshared slave rslave relatime
    norelatime strictatime nostrictatime
"""
_TMPFS_OPTIONS = frozenset(_TMPFS_OPTION_NAMES.split())
_NOT_OF_TMPFS = frozenset({"bind", "rbind", "remount"})
"""Of ECS's list; the kernel mounts no tmpfs with them."""
_TMPFS_SETTINGS = re.compile(r"(mode|uid|gid|nr_inodes|nr_blocks|mpol)=\S+")

_IPC_CONTROL_NAMES = """
    kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni
    kernel.shm_rmid_forced
"""
_IPC_CONTROLS = frozenset(_IPC_CONTROL_NAMES.split())


def is_network_control(namespace: str) -> bool:
    """Whether a sysctl belongs to the network namespace."""
    return namespace.startswith("net.")


def is_ipc_control(namespace: str) -> bool:
    """Whether a sysctl belongs to the IPC namespace."""
    return namespace in _IPC_CONTROLS or namespace.startswith("fs.mqueue.")


def linux_problems(container: ContainerDefinition) -> Iterator[Problem]:
    """Everything wrong with the kernel side of one container by itself."""
    for problem in _linux_parameters(container.linux_parameters):
        yield problem.under("linuxParameters")
    yield from _ulimits(container)
    yield from _security_options(container)
    for index, control in enumerate(container.system_controls):
        if not is_network_control(control.namespace) and not is_ipc_control(control.namespace):
            yield Problem(
                f"systemControls[{index}].namespace",
                "must be a net.*, fs.mqueue.* or System V IPC setting: others belong to the host",
            )


def _linux_parameters(parameters: LinuxParameters) -> Iterator[Problem]:
    capabilities = parameters.capabilities
    for field, names in (("add", capabilities.add), ("drop", capabilities.drop)):
        for index, name in enumerate(names):
            if name != "ALL" and name not in CAPABILITIES:
                yield Problem(
                    f"capabilities.{field}[{index}]",
                    "must be ALL or a capability in capitals without CAP_, such as NET_ADMIN",
                )
    yield from _devices(parameters)
    yield from _tmpfs(parameters)
    if parameters.shared_memory_size is not None and parameters.shared_memory_size < 1:
        yield Problem("sharedMemorySize", "must be at least 1 MiB")
    if parameters.max_swap is not None and parameters.max_swap < 0:
        yield Problem("maxSwap", "must be 0 (no swap) or more MiB")
    if parameters.swappiness is not None and not 0 <= parameters.swappiness <= 100:
        yield Problem("swappiness", "must be 0 to 100")


def _devices(parameters: LinuxParameters) -> Iterator[Problem]:
    for index, device in enumerate(parameters.devices):
        if not device.host_path.startswith("/"):
            yield Problem(f"devices[{index}].hostPath", "must be an absolute path")
        if device.container_path and not device.container_path.startswith("/"):
            yield Problem(f"devices[{index}].containerPath", "must be an absolute path")


def _tmpfs(parameters: LinuxParameters) -> Iterator[Problem]:
    for index, tmpfs in enumerate(parameters.tmpfs):
        if tmpfs.size < 1:
            yield Problem(f"tmpfs[{index}].size", "must be at least 1 MiB")
        for place, option in enumerate(tmpfs.mount_options):
            if option in _NOT_OF_TMPFS:
                yield Problem(
                    f"tmpfs[{index}].mountOptions[{place}]",
                    f"{option} is for what is there already, not for a new tmpfs: remove it",
                )
            elif option not in _TMPFS_OPTIONS and not _TMPFS_SETTINGS.fullmatch(option):
                yield Problem(f"tmpfs[{index}].mountOptions[{place}]", "is not a tmpfs option")


def _ulimits(container: ContainerDefinition) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, ulimit in enumerate(container.ulimits):
        path = f"ulimits[{index}]"
        if ulimit.name in seen:
            yield Problem(f"{path}.name", f"{ulimit.name} is given twice: keep one")
        seen.add(ulimit.name)
        if min(ulimit.soft_limit, ulimit.hard_limit) < -1:
            yield Problem(path, "limits must be 0 or more, or -1 for no limit")
        elif ulimit.hard_limit != -1 and not 0 <= ulimit.soft_limit <= ulimit.hard_limit:
            yield Problem(f"{path}.softLimit", "must not be above hardLimit")


def _security_options(container: ContainerDefinition) -> Iterator[Problem]:
    for index, option in enumerate(container.docker_security_options):
        if not re.fullmatch(
            r"no-new-privileges(:(true|false))?|(apparmor|credentialspec):\S+"
            r"|label:(disable|(user|role|type|level):\S+)",
            option,
        ):
            yield Problem(
                f"dockerSecurityOptions[{index}]",
                "must be no-new-privileges, apparmor:PROFILE, label:disable, label:user:USER, "
                "label:role:ROLE, label:type:TYPE, label:level:LEVEL or credentialspec:FILE",
            )
