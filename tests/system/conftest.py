"""Fixtures that cost something and are shared: one private containerd for all system tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.containerd_daemon import DaemonPaths, private_containerd


@pytest.fixture(scope="session")
def containerd() -> Iterator[DaemonPaths]:
    """A real containerd of its own that all tests of the session share; do not restart it."""
    with private_containerd() as paths:
        yield paths
