"""A network: an ordered list of plugins with their configurations.

Rules: the specification's section "Network configuration format", and libcni.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cni import formats, plugin
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.plugin import Plugin
from cni.spec import require_identifier


@dataclass(frozen=True, slots=True)
class Step:
    """One plugin of a network; `plugin` and `parsed` are there when it is one of ours.

    `conf` is its JSON object with the network's `name` and `cniVersion`; `capabilities` are those
    it wants of the runtime.
    """

    type: str
    conf: Mapping[str, Any]
    capabilities: frozenset[str]
    plugin: Plugin | None = None
    parsed: Any = None


@dataclass(frozen=True, slots=True)
class Network:
    """A network; `raw` are the bytes of its list."""

    name: str
    version: str
    steps: tuple[Step, ...]
    raw: bytes
    disable_check: bool = False
    disable_gc: bool = False


def network_from(
    conflist: Mapping[str, Any],
    raw: bytes = b"",
    inlined: tuple[Mapping[str, Any], ...] = (),
) -> Network:
    """The network of a list as JSON object, with plugins that stand elsewhere after its own.

    `raw` are the list's bytes, where it was read from a file. Raises number 1 for a version that
    cannot be spoken, 7 (or 2) for what cannot be.
    """
    fields = Fields(conflist)
    name = require_identifier(fields.text("name"), "network name", Code.INVALID_CONFIG)
    version = _version(fields)
    own = list(fields.objects("plugins"))
    if fields.value("plugins") is not None and not own:
        raise fields.wrong("plugins", "must not be empty")
    if fields.flag("loadOnlyInlinedPlugins") and not own:
        raise fields.wrong("loadOnlyInlinedPlugins", "needs plugins")
    plugins = (*own, *(Fields(each) for each in inlined))
    if not plugins:
        raise fields.wrong("plugins", "must not be empty")
    return Network(
        name,
        version,
        tuple(_step(each, name, version) for each in plugins),
        raw or formats.encode(conflist),
        fields.flag("disableCheck"),
        fields.flag("disableGC"),
    )


_Version = tuple[int, ...]
_NEWEST: Final[_Version] = (1, 1, 0)


def _version(fields: Fields) -> str:
    """The highest of `cniVersion` and those of `cniVersions` that are not newer than ours."""
    said = fields.text("cniVersion") or "0.1.0"
    others = [each for each in fields.texts("cniVersions") if _number(each) <= _NEWEST]
    version = max([said, *others], key=_number)
    if version not in formats.VERSIONS:
        supported = ", ".join(formats.VERSIONS)
        raise CNIError(Code.INCOMPATIBLE_VERSION, f"CNI version {version} is none of {supported}")
    return version


def _number(version: str) -> _Version:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError as error:
        raise CNIError(Code.INVALID_CONFIG, "a CNI version is like 1.1.0", version) from error


def _step(fields: Fields, name: str, version: str) -> Step:
    kind = fields.text("type")
    if not kind:
        raise fields.wrong("type", "must name a plugin")
    wanted = fields.object("capabilities")
    capabilities = frozenset(key for key in wanted.values if wanted.flag(key))
    conf = {**fields.values, "name": name, "cniVersion": version}
    if kind not in plugin.NAMES:
        return Step(kind, conf, capabilities)
    found = plugin.find(kind)
    return Step(kind, conf, capabilities, found, found.parse(Fields(conf, fields.where)))
