"""CDI specifications: files of JSON or YAML that say what a container needs to use a device.

Directories have an order: a device in a later one hides that of the same name in an earlier one.
Two of a name in one directory are both unusable, as CDI has it. Blocking.

Reference: Container Device Interface specification, versions 0.3.0 to 0.8.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

_YAML = (".yaml", ".yml")
_NO_YAML = (
    "YAML needs PyYAML: install it where Hostler is (extra: gpu), or write the file as JSON "
    "(nvidia-ctk cdi generate --format=json)"
)


class _Shape(BaseModel):
    """What is not known would not take effect, so it makes a file unusable."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True
    )


class NodeEdit(_Shape):
    """A device node; ``host_path`` "" is the same path. What is absent is as on the host."""

    path: str
    host_path: str = ""
    type: Literal["", "b", "c", "u"] = ""
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str = "rwm"
    uid: int | None = None
    gid: int | None = None


class MountEdit(_Shape):
    """A mount; without a type it binds."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


class HookEdit(_Shape):
    """A program of the host at a point of the container's life; ``timeout`` in seconds."""

    hook_name: Literal[
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"
    ]
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class ContainerEdits(_Shape):
    """Changes to a container."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[NodeEdit, ...] = ()
    mounts: tuple[MountEdit, ...] = ()
    hooks: tuple[HookEdit, ...] = ()
    additional_gids: tuple[int, ...] = ()


class _Device(_Shape):
    name: str
    annotations: Mapping[str, str] = {}
    container_edits: ContainerEdits


class _Specification(_Shape):
    cdi_version: str
    kind: str
    annotations: Mapping[str, str] = {}
    devices: tuple[_Device, ...]
    container_edits: ContainerEdits = ContainerEdits()


@dataclass(frozen=True, slots=True)
class Device:
    """A device by its full name, such as ``nvidia.com/gpu=0``, and the edits it needs, in order."""

    name: str
    edits: tuple[ContainerEdits, ...]

    @property
    def kind(self) -> str:
        """Vendor and class."""
        return self.name.partition("=")[0]

    @property
    def own(self) -> ContainerEdits:
        """What this device needs, other than all of its specification."""
        return self.edits[-1]


@dataclass(frozen=True, slots=True)
class Found:
    """All usable devices by name, in the order of the files, and what was wrong with others."""

    devices: Mapping[str, Device]
    problems: tuple[str, ...] = ()


def read(directories: Iterable[Path]) -> Found:
    """What the specifications in ``directories`` say. A directory need not be there."""
    devices: dict[str, Device] = {}
    problems: list[str] = []
    for directory in directories:
        here: dict[str, list[Device]] = {}
        for path in _files(directory):
            try:
                for device in _devices(_parsed(path)):
                    here.setdefault(device.name, []).append(device)
            except (OSError, ValueError) as error:
                problems.append(f"{path}: {error}")
        for name, found in here.items():
            devices.pop(name, None)
            if len(found) == 1:
                devices[name] = found[0]
            else:
                problems.append(f"{directory}: {name} is described {len(found)} times")
    return Found(devices, tuple(problems))


def _files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (
            each for each in sorted(directory.iterdir()) if each.suffix in (".json", *_YAML)
        )


def _parsed(path: Path) -> _Specification:
    """Raises OSError, ValueError."""
    text = path.read_text()
    data = _yaml(text) if path.suffix in _YAML else json.loads(text)
    try:
        return _Specification.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from None


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise ValueError(_NO_YAML) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {error}") from None


def _devices(specification: _Specification) -> Iterator[Device]:
    for each in specification.devices:
        name = f"{specification.kind}={each.name}"
        yield Device(name, (specification.container_edits, each.container_edits))
