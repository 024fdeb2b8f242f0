"""The runtimes that tasks may name: a containerd shim each, and for the runc shim its program.

``runc`` is always there, ``crun`` if it is on the PATH; a file (HOSTLER_RUNTIMES) adds others or
says these anew. containerd finds shims by name on its own PATH.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    RootModel,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from agent.config import ConfigError, values
from agent.containerd.types import RUNC_SHIM, ConfigOptions, RuncOptions
from agent.settings import RUNTIMES_FILE, Settings
from agent.task.definition.problems import json_path

_NAME = values.matching(
    r"[a-z0-9][a-z0-9_.-]{0,62}", "a name of small letters, digits, and _ . - inside"
)
RUNC_PROGRAM = "runc"
_SHIM = re.compile(r"/\S+|[a-z0-9_-]+(\.[a-z0-9_-]+)+\.v[0-9]+")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run a container: ``shim`` as containerd names it.

    With the runc shim ``binary`` is the program that it runs, which takes runc's arguments ("" is
    runc itself). For any other shim ``config`` is its file of settings, "" for the shim's own
    choice, and ``config_type`` what that file is, for shims that ask.
    """

    name: str
    shim: str = RUNC_SHIM
    binary: str = ""
    config: str = ""
    config_type: str = ""

    @property
    def isolated(self) -> bool:
        """Whether its containers have a kernel of their own, and a shim each, as far as we know.

        Others are processes of this host: they share namespaces, a shim, and the task's network.
        """
        return self.shim != RUNC_SHIM

    @property
    def program(self) -> str:
        """What the runc shim runs: for whoever puts a program of his own before it (``binary``)."""
        return self.binary or RUNC_PROGRAM

    def options(self, *, systemd: bool) -> RuncOptions | ConfigOptions | None:
        """What containerd passes to the shim. ``systemd``: cgroups are made by systemd."""
        if not self.isolated:
            return RuncOptions(binary_name=self.binary, systemd_cgroup=systemd)
        return ConfigOptions(self.config, self.config_type) if self.config else None

    def missing(self) -> Iterator[str]:
        """The files that it needs and that this host does not have."""
        shim = self.shim
        if not shim.startswith("/"):
            shim = "containerd-shim-" + "-".join(shim.split(".")[-2:])
        for program in (shim, *([] if self.isolated else [self.program])):
            if shutil.which(program) is None:
                yield program
        if self.config and not Path(self.config).exists():
            yield self.config


RUNC = Runtime("runc")


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The runtimes of this host by name; ``default`` is one of them."""

    default: str = RUNC.name
    named: Mapping[str, Runtime] = field(default_factory=lambda: {RUNC.name: RUNC})

    def find(self, name: str) -> Runtime | None:
        """The runtime of this name, the default one for ""."""
        return self.named.get(name or self.default)


def load_runtimes(settings: Settings) -> Runtimes:
    """What the settings say. Raises ConfigError naming the file and the place in it."""
    named = {RUNC.name: RUNC}
    if shutil.which("crun"):
        named["crun"] = Runtime("crun", binary="crun")
    named.update(_read(settings.runtimes))
    default = settings.runtime
    if default.startswith("/"):
        named[default] = Runtime(default, binary=default)
    if default not in named:
        raise ConfigError(
            f"HOSTLER_RUNTIME={default}: there is no such runtime, there are "
            f"{', '.join(sorted(named))}; name another in {settings.runtimes} (HOSTLER_RUNTIMES)"
        )
    return Runtimes(default, named)


def _shim(text: str) -> str:
    if _SHIM.fullmatch(text) is None:
        raise ValueError("must be a shim as containerd names it, such as io.containerd.runsc.v1")
    return text


def _file(text: str) -> str:
    return str(values.absolute(text))


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    shim: Annotated[str, AfterValidator(_shim)] = RUNC_SHIM
    binary: Annotated[str, AfterValidator(_file)] = ""
    config: Annotated[str, AfterValidator(_file)] = ""
    config_type: str = ""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.shim == RUNC_SHIM and (self.config or self.config_type):
            raise ValueError("the runc shim takes no config: give binary, or another shim")
        if self.shim != RUNC_SHIM and self.binary:
            raise ValueError(f"{self.shim} takes no binary: that is for {RUNC_SHIM}")
        return self


class _File(RootModel[dict[Annotated[str, AfterValidator(_NAME)], _Entry]]):
    pass


def _read(path: Path) -> Mapping[str, Runtime]:
    """The runtimes of a file; that of the default place may be missing."""
    try:
        entries = _File.model_validate_json(path.read_bytes()).root
    except OSError as error:
        if isinstance(error, FileNotFoundError) and path == RUNTIMES_FILE:
            return {}
        raise ConfigError(f"HOSTLER_RUNTIMES: can't read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"HOSTLER_RUNTIMES: {path}: {'; '.join(_faults(error))}") from error
    return {name: Runtime(name, **each.model_dump()) for name, each in entries.items()}


def _faults(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            message = "there is no such field: remove it or correct its name"
        place = json_path(step for step in each["loc"] if step != "[key]")
        yield f"{place}: {message}" if place else message
