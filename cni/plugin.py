"""What a plugin is, and which there are.

A plugin is a module with the functions of `Plugin`. They are synchronous, print nothing and read no
environment; what goes wrong is a `CNIError`. `parse` is done once for a network, the others for
each attachment, so that an attachment in the agent's own process needs no JSON.
"""

from collections.abc import Collection
from importlib import import_module
from typing import Any, Final, Protocol, cast, runtime_checkable

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.spec import Args, Attachment, Result


class Plugin(Protocol):
    """One plugin; the verbs are those of the CNI specification, `conf` is what `parse` gave."""

    def parse(self, fields: Fields, /) -> Any:
        """The plugin's configuration. Raises number 7 (or 2) naming what is wrong."""

    def add(self, conf: Any, args: Args, context: Context, /) -> Result:
        """Attach; a failure leaves nothing behind. A chained plugin gives `args.prev` on."""

    def check(self, conf: Any, args: Args, context: Context, /) -> None:
        """Raise number 101 unless what ADD made is still so."""

    def delete(self, conf: Any, args: Args, context: Context, /) -> None:
        """Detach; may be repeated, and what is gone already is fine."""

    def gc(self, conf: Any, valid: Collection[Attachment], context: Context, /) -> None:
        """Remove what belongs to this network and to none of the valid attachments."""

    def status(self, conf: Any, context: Context, /) -> None:
        """Raise number 50 when an ADD could not succeed."""


@runtime_checkable
class Restorable(Protocol):
    """A plugin with a part in the host's firewall, which others may flush."""

    def restore(self, conf: Any, args: Args, context: Context, /) -> None:
        """Make good what is missing there of an attachment; no link is touched."""


_MODULES: Final = {
    "hostler-bridge": "cni.bridge.plugin",
    "hostler-ipam": "cni.ipam.plugin",
    "hostler-portmap": "cni.portmap.plugin",
    "hostler-awsvpc": "cni.awsvpc.plugin",
    "hostler-firewall": "cni.security.plugin",
}

NAMES: Final = tuple(_MODULES)
"""The plugins' names, as `type` has them and as their executables are called."""

REFERENCE_NAMES: Final = {
    "bridge": "hostler-bridge",
    "host-local": "hostler-ipam",
    "portmap": "hostler-portmap",
}
"""The reference plugins whose place ours can take: their executables may have these names too."""


def find(name: str) -> Plugin:
    """The plugin of that name (also a reference name); only its own module is imported."""
    module = _MODULES.get(REFERENCE_NAMES.get(name, name))
    if module is None:
        raise CNIError(Code.INVALID_CONFIG, f"{name} is no plugin of Hostler's")
    return cast(Plugin, import_module(module))
