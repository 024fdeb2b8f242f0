"""Fixtures that the unit tests have too."""

from __future__ import annotations

from tests.unit.metadata.conftest import serve, various

__all__ = ["serve", "various"]
