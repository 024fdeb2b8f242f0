"""One container as the OCI runtime spec (version 1.0.2), for runc or crun through containerd.

Pure: from ``SpecInputs`` to a dict that is ready for JSON. Sections have a file each: ``process``,
``mounts``, ``resources``, ``security``, ``seccomp``.
"""

from typing import Any

from agent.oci.edits import hooks
from agent.oci.inputs import SpecInputs
from agent.oci.mounts import mounts
from agent.oci.process import process
from agent.oci.resources import devices, resources
from agent.oci.seccomp import seccomp
from agent.oci.security import MASKED_PATHS, READONLY_PATHS, capabilities, selinux_labels

# A network namespace of one's own is as safe with these as without: what Docker sets.
_NETWORK_CONTROLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


def build_spec(inputs: SpecInputs) -> dict[str, Any]:
    """The runtime spec; raises ``SpecError`` if definition, image and host don't fit together."""
    spec = {
        "ociVersion": "1.0.2",
        "process": process(inputs),
        "root": {
            "path": inputs.rootfs,
            "readonly": inputs.container.readonly_root_filesystem,
        },
        "hostname": inputs.hostname,
        "mounts": mounts(inputs),
        "annotations": dict(inputs.annotations),
        "linux": _linux(inputs),
    }
    if inputs.edits.hooks:
        spec["hooks"] = hooks(inputs.edits)
    return spec


def _linux(inputs: SpecInputs) -> dict[str, Any]:
    section: dict[str, Any] = {
        "cgroupsPath": inputs.cgroup_path,
        "namespaces": _namespaces(inputs),
        "resources": resources(inputs),
        "devices": devices(inputs),
        "sysctl": _sysctl(inputs),
        # Unmounting on the host reaches the container's view until it has left the host's root.
        "rootfsPropagation": "rslave",
    }
    labels = selinux_labels(inputs)
    if labels is not None:
        section["mountLabel"] = labels.file
    if not inputs.container.privileged:
        section["maskedPaths"] = list(MASKED_PATHS)
        section["readonlyPaths"] = list(READONLY_PATHS)
        section["seccomp"] = seccomp(inputs.host.machine, capabilities(inputs))
    return section


def _namespaces(inputs: SpecInputs) -> list[dict[str, str]]:
    namespaces = [{"type": "mount"}, {"type": "uts"}]
    if inputs.pid_mode != "host":
        namespaces.append(_own_or("pid", inputs.shared.pid))
    if inputs.ipc_mode != "host":
        namespaces.append(_own_or("ipc", inputs.shared.ipc))
    if inputs.netns is not None:
        namespaces.append({"type": "network", "path": inputs.netns})
    # As with Docker: on v1 programs expect to find themselves by /proc/self/cgroup.
    if inputs.host.cgroup_version == 2 and not inputs.container.privileged:
        namespaces.append({"type": "cgroup"})
    return namespaces


def _own_or(kind: str, shared: str | None) -> dict[str, str]:
    return {"type": kind} if shared is None else {"type": kind, "path": shared}


def _sysctl(inputs: SpecInputs) -> dict[str, str]:
    """Defaults don't undo what another container of the same network namespace asked for."""
    controls = {
        name: value
        for name, value in _NETWORK_CONTROLS.items()
        if inputs.netns is not None and name not in inputs.others_controls
    }
    controls.update((each.namespace, each.value) for each in inputs.container.system_controls)
    return controls
