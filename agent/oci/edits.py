"""Changes to a container that come with a device: what a CDI specification calls containerEdits.

Plain values; they are read from specifications in ``agent.host.gpus`` and used by ``spec``,
``mounts``, ``resources`` and ``process``.

Reference: Container Device Interface specification, version 0.8.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the host by its path there, with its numbers, mode bits and owner."""

    path: str
    type: Literal["b", "c"]
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class EditedNode:
    """A device node: ``node.path`` is where it is in the container, ``access`` of r, w and m."""

    node: DeviceNode
    access: str = "rwm"


@dataclass(frozen=True, slots=True)
class EditedMount:
    """A file or directory of the host, or a file system of ``type``."""

    source: str
    destination: str
    options: tuple[str, ...] = ()
    type: str = "bind"


@dataclass(frozen=True, slots=True)
class Hook:
    """A program of the host that the runtime runs at a point of the container's life."""

    point: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class Edits:
    """All changes that the devices of one container need. Of two equal changes one is made."""

    env: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[EditedNode, ...] = ()
    mounts: tuple[EditedMount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    additional_gids: tuple[int, ...] = ()


NO_EDITS = Edits()


def merged(every: Iterable[Edits]) -> Edits:
    """The edits of all of them, in their order."""
    found = list(every)
    return Edits(
        env={name: value for each in found for name, value in each.env.items()},
        nodes=tuple(dict.fromkeys(node for each in found for node in each.nodes)),
        mounts=tuple(dict.fromkeys(mount for each in found for mount in each.mounts)),
        hooks=tuple(dict.fromkeys(hook for each in found for hook in each.hooks)),
        additional_gids=tuple(dict.fromkeys(gid for each in found for gid in each.additional_gids)),
    )


def hooks(edits: Edits) -> dict[str, list[dict[str, Any]]]:
    """The ``hooks`` of a runtime spec."""
    made: dict[str, list[dict[str, Any]]] = {}
    for each in edits.hooks:
        hook: dict[str, Any] = {"path": each.path}
        if each.args:
            hook["args"] = list(each.args)
        if each.env:
            hook["env"] = list(each.env)
        if each.timeout_s is not None:
            hook["timeout"] = each.timeout_s
        made.setdefault(each.point, []).append(hook)
    return made
