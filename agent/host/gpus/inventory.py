"""The GPUs of this host: those devices of CDI's that are one each.

A vendor's tool gives a GPU more than one name (its index and its UUID), and a name to all of them
together. What a name stands for is known by its device nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.host.gpus import specifications
from agent.host.gpus.specifications import Device

_KIND = "nvidia.com/gpu"
_CLASS = "/gpu"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; ``name`` is the one that it is given out by, one of the names it is ``known_as``."""

    name: str
    known_as: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gpus:
    """How this host's GPUs are found. ``kind`` "" is nvidia.com/gpu, else the first gpu class."""

    enabled: bool = False
    directories: tuple[Path, ...] = ()
    kind: str = ""

    def find(self) -> tuple[tuple[Gpu, ...], str]:
        """All GPUs, and if there are none, why. Blocking."""
        if not self.enabled:
            return (), "GPUs are not enabled on this host: set ECS_ENABLE_GPU_SUPPORT=true"
        found = specifications.read(self.directories)
        kind = self.kind or _first_kind(found.devices.values())
        gpus = of_kind(found.devices.values(), kind)
        if gpus:
            return gpus, ""
        where = " or ".join(map(str, self.directories))
        why = "; ".join(found.problems) or "write one with the tool of the GPUs' vendor"
        return (), f"no CDI specification in {where} has a device of {kind}: {why}"


def of_kind(devices: Iterable[Device], kind: str) -> tuple[Gpu, ...]:
    """The GPUs among the devices: each once, and none that stands for several of them."""
    names: dict[frozenset[str], list[str]] = {}
    for each in devices:
        if each.kind == kind:
            names.setdefault(_nodes(each), []).append(each.name)
    return tuple(
        Gpu(_best(known), frozenset(known))
        for nodes, known in names.items()
        if not any(other < nodes for other in names)
    )


def free(gpus: Iterable[Gpu], claimed: Collection[str]) -> list[Gpu]:
    """Those of which no name is claimed."""
    return [each for each in gpus if not each.known_as & set(claimed)]


def shown(names: Iterable[str]) -> tuple[str, ...]:
    """The ids that containers and API see: names without their kind."""
    return tuple(each.partition("=")[2] for each in names)


def environment(given: Mapping[str, tuple[str, ...]], container: str) -> dict[str, str]:
    """What ECS tells a container of its GPUs, of those ``given`` to the task's containers."""
    ids = shown(given.get(container, ()))
    return {"NVIDIA_VISIBLE_DEVICES": ",".join(ids)} if ids else {}


def _nodes(device: Device) -> frozenset[str]:
    """What tells it from others of its kind: its own nodes, or its name if it has none."""
    nodes = frozenset(each.host_path or each.path for each in device.own.device_nodes)
    return nodes or frozenset({device.name})


def _best(names: list[str]) -> str:
    """A UUID, which outlives a change of the order, before an index, before ``all``."""
    ids = {name: name.partition("=")[2] for name in names}
    return min(names, key=lambda name: (ids[name] == "all", not ids[name].startswith("GPU-")))


def _first_kind(devices: Iterable[Device]) -> str:
    kinds = sorted({each.kind for each in devices if each.kind.endswith(_CLASS)})
    return kinds[0] if kinds and _KIND not in kinds else _KIND
