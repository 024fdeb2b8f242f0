"""Fixtures that the unit tests have too, and a containerd that a module may stop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.containerd_daemon import DaemonPaths, private_containerd
from tests.unit.metadata.conftest import serve, various

__all__ = ["containerd", "serve", "various"]


@pytest.fixture(scope="module")
def containerd() -> Iterator[DaemonPaths]:
    """A real one that the tests of a module share."""
    with private_containerd() as paths:
        yield paths
