"""How a layer fails the look through it."""

from agent.registry.errors import RegistryError


class LayerError(RegistryError):
    """The layer is damaged, hostile, too large or nothing that containerd can unpack."""
