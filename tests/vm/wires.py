"""The two machines and what connects them, as both sides of a test know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MACHINES: Final = ("alpha", "beta")


@dataclass(frozen=True, slots=True)
class End:
    """What a task gets at either machine: card number ``wire``, or with ``vlan`` a branch of it."""

    name: str
    wire: int
    network: str
    host: int
    vlan: int = 0

    def mac(self, machine: str) -> str:
        """Of the card."""
        return f"52:54:00:00:{MACHINES.index(machine):02x}:{self.wire:02x}"

    def address(self, machine: str) -> str:
        """Of the task on that machine."""
        return f"{self.network}.{self.host + 10 * MACHINES.index(machine)}"


# Branches of one trunk and one network: that they don't meet is the tags' doing.
ENDS: Final = (
    End("first-card", 1, "10.0.1", 11),
    End("second-card", 2, "10.0.2", 11),
    End("branch-101", 3, "10.0.3", 11, vlan=101),
    End("branch-102", 3, "10.0.3", 12, vlan=102),
)
SPARE: Final = "52:54:00:00:ff:01"
"""Of a card of each machine that nobody uses."""
