"""A setting as it was given, and what is said when it can't be used."""

from __future__ import annotations

from typing import NamedTuple


class ConfigError(Exception):
    """A setting can't be used; the text names it, where it was set, and what it may be."""


class Given(NamedTuple):
    """The text of a setting, and where it was set in words."""

    text: str
    where: str
