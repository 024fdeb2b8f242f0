"""Where an interface's addresses come from: the `ipam` object of a plugin's configuration.

Ours, and the reference plugins that ours can take the place of, are called as functions; any other
`type` is an executable that is given the whole configuration, as the specification says.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

from cni.conf import Fields
from cni.context import Context
from cni.plugin import Plugin
from cni.spec import Args, Attachment, Result

_OURS: Final = {
    "hostler-ipam": "cni.ipam.plugin",
    "host-local": "cni.ipam.plugin",
    "static": "cni.ipam.static",
}


@dataclass(frozen=True, slots=True)
class Addressing:
    """One of our own plugins with what its `parse` gave, or an executable's name and its input."""

    type: str
    plugin: Plugin | None
    conf: Any

    def add(self, args: Args, context: Context) -> Result:
        """Give the attachment its addresses."""
        if self.plugin is None:
            return self._delegate("ADD", args, context)
        return self.plugin.add(self.conf, args, context)

    def check(self, args: Args, context: Context) -> None:
        """Raise number 101 (or a foreign plugin's error) unless it has them."""
        if self.plugin is None:
            self._delegate("CHECK", args, context)
        else:
            self.plugin.check(self.conf, args, context)

    def delete(self, args: Args, context: Context) -> None:
        """Take them back; may be repeated."""
        if self.plugin is None:
            self._delegate("DEL", args, context)
        else:
            self.plugin.delete(self.conf, args, context)

    def gc(self, valid: Collection[Attachment], context: Context) -> None:
        """Take back what belongs to none of the valid attachments."""
        if self.plugin is None:
            self._delegate_network("GC", context, valid)
        else:
            self.plugin.gc(self.conf, valid, context)

    def status(self, context: Context) -> None:
        """Raise number 50 when an address could not be given."""
        if self.plugin is None:
            self._delegate_network("STATUS", context)
        else:
            self.plugin.status(self.conf, context)

    def _delegate(self, verb: str, args: Args, context: Context) -> Result:
        # Rarely needed, and costs an executable plugin milliseconds.
        from cni.runtime import external

        return external.delegate(verb, self.type, self.conf, args, context)

    def _delegate_network(
        self, verb: str, context: Context, valid: Collection[Attachment] = ()
    ) -> None:
        from cni.runtime import external

        external.delegate_network(verb, self.type, self.conf, context, valid)


def parse(fields: Fields) -> Addressing | None:
    """The addressing of a plugin's configuration; None when there is no `ipam`, or an empty one."""
    ipam = fields.object("ipam")
    if not ipam.values:
        return None
    kind = ipam.text("type")
    if not kind:
        raise ipam.wrong("type", "must be given")
    if kind not in _OURS:
        raw: Mapping[str, Any] = fields.values
        return Addressing(kind, None, raw)
    plugin = cast(Plugin, import_module(_OURS[kind]))
    return Addressing(kind, plugin, plugin.parse(fields))
