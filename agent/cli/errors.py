"""The one error of the command line: what went wrong and what to do, for a person to read."""

from __future__ import annotations

FAILED = 125
"""Exit code when Hostler itself could not do what was asked; tasks rarely end with it."""


class CommandError(Exception):
    """Ends the command with ``FAILED`` and this text on standard error."""


class NoAgent(CommandError):
    """Nobody answers where the agent should, or not in time."""
