"""What fails about volumes, by ECS's names for it."""

from __future__ import annotations

from agent.host.provisions import ProvisionError


class VolumeError(ProvisionError):
    """A volume can't be had as it is asked for; the text says which and why."""

    name = "VolumeError"


class NoSuchVolume(VolumeError):
    """A shared volume that must be there is not."""

    name = "CannotInspectVolumeError"


class CannotCreateVolume(VolumeError):
    """A volume can't be made or mounted."""

    name = "CannotCreateVolumeError"
