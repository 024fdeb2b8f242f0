"""When a registry is asked for an image that is here, and what comes of it if that fails. Pure.

The four values of ECS_IMAGE_PULL_BEHAVIOR, as Amazon's agent follows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Asks(Enum):
    """When the registry is asked."""

    ALWAYS = "always"
    UNLESS_PULLED = "unless this agent has pulled the image by that name before"
    UNLESS_HERE = "unless the image is here by that name, whoever brought it"


@dataclass(frozen=True, slots=True)
class Policy:
    """One pull behaviour. ``falls_back``: where the registry fails, an image that is here will do,
    and if there is none only its container ends; else the whole task does."""

    asks: Asks
    falls_back: bool

    def must_ask(self, *, pulled: bool) -> bool:
        """Whether the registry must be asked for an image that is here by its name or its digest.

        ``pulled`` says whether it was pulled by that name: what was loaded was not, and what
        clean-up removed is not here. What is named by its digest may be asked for as well: who may
        not have it, shall not have it; nothing is transferred.
        """
        match self.asks:
            case Asks.ALWAYS:
                return True
            case Asks.UNLESS_PULLED:
                return not pulled
            case Asks.UNLESS_HERE:
                return False


POLICIES = {
    "default": Policy(Asks.ALWAYS, falls_back=True),
    "always": Policy(Asks.ALWAYS, falls_back=False),
    "once": Policy(Asks.UNLESS_PULLED, falls_back=False),
    "prefer-cached": Policy(Asks.UNLESS_HERE, falls_back=True),
}
"""By the value of the setting."""
