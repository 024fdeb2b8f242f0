"""What CDI says of devices, as changes of a runtime spec. Device nodes are looked up here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agent.host.containers import facts
from agent.host.gpus import specifications
from agent.host.gpus.specifications import ContainerEdits, MountEdit, NodeEdit
from agent.oci.edits import DeviceNode, EditedMount, EditedNode, Edits, Hook, merged
from agent.oci.errors import SpecError


def of(names: Iterable[str], directories: Sequence[Path]) -> Edits:
    """The edits for the devices of these full names. Blocking.

    Raises SpecError for a device that no specification has any more, OSError for a missing node.
    """
    wanted = list(names)
    if not wanted:
        return Edits()
    found = specifications.read(directories)
    missing = [each for each in wanted if each not in found.devices]
    if missing:
        where = " and ".join(map(str, directories)) or "nowhere"
        why = "; ".join(found.problems)
        raise SpecError(
            f"GPU {missing[0]} is in no CDI specification of {where} any more: {why}".rstrip(": ")
        )
    return merged(_edits(each) for name in wanted for each in found.devices[name].edits)


def _edits(given: ContainerEdits) -> Edits:
    pairs = [each.partition("=") for each in given.env]
    return Edits(
        env={name: value for name, _, value in pairs},
        nodes=tuple(map(_node, given.device_nodes)),
        mounts=tuple(map(_mount, given.mounts)),
        hooks=tuple(
            Hook(each.hook_name, each.path, each.args, each.env, each.timeout)
            for each in given.hooks
        ),
        additional_gids=given.additional_gids,
    )


def _node(given: NodeEdit) -> EditedNode:
    """The node; what the specification leaves open is as on the host. Raises OSError."""
    if given.type and given.major is not None and given.minor is not None:
        kind: Literal["b", "c"] = "b" if given.type == "b" else "c"
        node = DeviceNode(given.path, kind, given.major, given.minor)
    else:
        node = replace(facts.device(Path(given.host_path or given.path)), path=given.path)
    return EditedNode(
        replace(
            node,
            mode=node.mode if given.file_mode is None else given.file_mode,
            uid=node.uid if given.uid is None else given.uid,
            gid=node.gid if given.gid is None else given.gid,
        ),
        access=given.permissions or "rwm",
    )


def _mount(given: MountEdit) -> EditedMount:
    return EditedMount(given.host_path, given.container_path, given.options, given.type or "bind")
