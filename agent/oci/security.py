"""Capabilities, AppArmor, and what of /proc and /sys a container may not see or change.

The defaults are those of Docker, because images are written against them.
"""

from agent.oci.errors import SpecError
from agent.oci.inputs import SelinuxLabels, SpecInputs
from agent.task.definition import ContainerDefinition

_DEFAULT_CAPABILITIES = """
AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID
SETPCAP SETUID SYS_CHROOT
"""
DEFAULT_CAPABILITIES = frozenset(_DEFAULT_CAPABILITIES.split())

_NOT_IN_FORCE = (
    "dockerSecurityOptions: {0} needs {1}, which is not in force on this host: its kernel was built"
    " or booted without it; leave the option out, or use a host with {1}"
)
_LABEL_PARTS = ("user", "role", "type", "level")

MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)


def capabilities(inputs: SpecInputs) -> tuple[str, ...]:
    """The container's capabilities without ``CAP_``, sorted.

    Privileged and ``ALL`` mean all that the agent itself has. Raises ``SpecError`` when one is
    added by name that the agent doesn't have: leaving it out would fail later and darker.
    """
    available, wanted = inputs.host.capabilities, inputs.container.linux_parameters.capabilities
    add, drop = set(wanted.add), set(wanted.drop)
    if inputs.container.privileged:
        return tuple(sorted(available))
    missing = add - available - {"ALL"}
    if missing:
        raise SpecError(f"the host can't give capability {', '.join(sorted(missing))}")
    kept = set() if "ALL" in drop else DEFAULT_CAPABILITIES - drop
    added = available - drop if "ALL" in add else add
    return tuple(sorted((kept | added) & available))


def has_no_new_privileges(container: ContainerDefinition) -> bool:
    """``dockerSecurityOptions``: no-new-privileges."""
    return any(
        option in ("no-new-privileges", "no-new-privileges:true")
        for option in container.docker_security_options
    )


def apparmor_profile(inputs: SpecInputs) -> str | None:
    """The profile that ``dockerSecurityOptions`` names, else the host's default; None for none.

    Raises ``SpecError`` when one is named on a host without AppArmor: it would protect nothing.
    """
    profile = None if inputs.container.privileged else inputs.host.apparmor_profile
    for option in inputs.container.docker_security_options:
        kind, _, value = option.partition(":")
        if kind != "apparmor":
            continue
        if value != "unconfined" and not inputs.host.apparmor:
            raise SpecError(_NOT_IN_FORCE.format(option, "AppArmor"))
        profile = value
    return None if profile == "unconfined" else profile


def selinux_labels(inputs: SpecInputs) -> SelinuxLabels | None:
    """The labels that ``label:…`` options ask for; None: the policy of the host decides.

    Raises ``SpecError`` when they ask for some on a host without SELinux.
    """
    options = [each for each in inputs.container.docker_security_options if _labels(each)]
    if not options or "label:disable" in options:
        return None
    if inputs.host.selinux is None:
        raise SpecError(_NOT_IN_FORCE.format(options[0], "SELinux"))
    process = inputs.host.selinux.process.split(":", 3)
    file = inputs.host.selinux.file.split(":", 3)
    for option in options:
        _, part, value = option.split(":", 2)
        process[_LABEL_PARTS.index(part)] = value
        if part == "level":
            file[_LABEL_PARTS.index(part)] = value
    return SelinuxLabels(":".join(process), ":".join(file))


def _labels(option: str) -> bool:
    return option.startswith("label:")
