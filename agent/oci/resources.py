"""The ``linux.resources`` section: CPU weight, memory, and which devices may be opened.

The task's own limits (its CPU quota and memory) are on the cgroup above. A container without limits
of its own is given the same: that changes nothing but what its programs see, as they look at their
own cgroup only and would take the whole host for theirs.
"""

from typing import Any

from agent.oci.edits import DeviceNode
from agent.oci.errors import SpecError
from agent.oci.inputs import SpecInputs
from agent.task.definition import Device
from agent.task.limits import shares

_MIB = 1024 * 1024
_MIN_MEMORY_MIB = 4

# type, major, minor (None: any), access. mknod(2) alone opens nothing, so it is free for all.
_DEFAULT_DEVICES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),  # null
    ("c", 1, 5, "rwm"),  # zero
    ("c", 1, 7, "rwm"),  # full
    ("c", 1, 8, "rwm"),  # random
    ("c", 1, 9, "rwm"),  # urandom
    ("c", 5, 0, "rwm"),  # tty
    ("c", 5, 1, "rwm"),  # console
    ("c", 5, 2, "rwm"),  # ptmx
    ("c", 136, None, "rwm"),  # pts
)


def resources(inputs: SpecInputs) -> dict[str, Any]:
    """Limits of the container's cgroup. Shares are cgroup v1's; the runtime converts for v2."""
    section: dict[str, Any] = {
        "devices": _device_rules(inputs),
        "cpu": _cpu(inputs),
    }
    memory = _memory(inputs)
    if memory:
        section["memory"] = memory
    return section


def devices(inputs: SpecInputs) -> list[dict[str, Any]]:
    """Nodes to make in /dev, beside those that every container has. What was asked for wins.

    A privileged container has all of the host's under their names, too.
    """
    own = inputs.host.devices if inputs.container.privileged else ()
    nodes = {each.path: _node(each, each.path) for each in own}
    nodes |= {each.node.path: _node(each.node, each.node.path) for each in inputs.edits.nodes}
    for wanted, device in _wanted(inputs):
        path = wanted.container_path or wanted.host_path
        nodes[path] = _node(device, path)
    return list(nodes.values())


def _cpu(inputs: SpecInputs) -> dict[str, int]:
    cpu, whole = {"shares": shares(inputs.container.cpu)}, inputs.task_limits
    if whole.quota_us is not None:
        cpu |= {"quota": whole.quota_us, "period": whole.period_us}
    return cpu


def _memory(inputs: SpecInputs) -> dict[str, int]:
    container, parameters = inputs.container, inputs.container.linux_parameters
    limits: dict[str, int] = {}
    if container.memory:
        limits["limit"] = max(container.memory, _MIN_MEMORY_MIB) * _MIB
        if parameters.max_swap is not None:
            # Memory and swap together, as in cgroup v1: with no swap it equals the limit.
            limits["swap"] = limits["limit"] + parameters.max_swap * _MIB
    elif inputs.task_limits.memory is not None:
        limits["limit"] = inputs.task_limits.memory
    if container.memory_reservation:
        limits["reservation"] = container.memory_reservation * _MIB
    if "swap" in limits and parameters.swappiness is not None and inputs.host.cgroup_version == 1:
        limits["swappiness"] = parameters.swappiness
    return limits


def _device_rules(inputs: SpecInputs) -> list[dict[str, Any]]:
    if inputs.container.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [_rule(kind, major, minor, access) for kind, major, minor, access in _DEFAULT_DEVICES]
    for wanted, device in _wanted(inputs):
        rules.append(_rule(device.type, device.major, device.minor, _access(wanted)))
    for each in inputs.edits.nodes:
        rules.append(_rule(each.node.type, each.node.major, each.node.minor, each.access))
    return rules


def _wanted(inputs: SpecInputs) -> list[tuple[Device, DeviceNode]]:
    """linuxParameters.devices, each with its node on the host."""
    nodes = {node.path: node for node in inputs.devices}
    wanted = inputs.container.linux_parameters.devices
    for device in wanted:
        if device.host_path not in nodes:
            raise SpecError(f"device {device.host_path} was not found on the host")
    return [(device, nodes[device.host_path]) for device in wanted]


def _access(device: Device) -> str:
    letters = {"read": "r", "write": "w", "mknod": "m"}
    return "".join(letters[each] for each in device.permissions) or "rwm"


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def _node(device: DeviceNode, path: str) -> dict[str, Any]:
    return {
        "path": path,
        "type": device.type,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }
