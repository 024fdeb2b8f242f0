"""Fixtures that several system tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.kernel import netns
from cni.kernel.netns import NamespaceThread
from tests.system import inventory
from tests.system.containerd_daemon import DaemonPaths, private_containerd


@pytest.fixture(scope="session", autouse=True)
def _host_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """After all system tests the host has nothing that it had not before.

    A worker can't tell what the others made of what they share: see ``tests/conftest.py``.
    """
    worker = hasattr(request.config, "workerinput")
    before = inventory.take(inventory.NETWORK if worker else inventory.ALL)
    yield
    added = inventory.added_since(before)
    assert not added, "the tests left on the host:\n" + "\n".join(added)


@pytest.fixture(scope="session")
def containerd(_host_as_it_was: None) -> Iterator[DaemonPaths]:
    """A real containerd of its own that all tests of the session share; do not restart it."""
    with private_containerd() as paths:
        yield paths


@pytest.fixture
def thread() -> Iterator[NamespaceThread]:
    """The thread that hops between network namespaces."""
    started = NamespaceThread()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def threads() -> Iterator[NamespaceThread]:
    """The same for all tests of a module."""
    started = NamespaceThread()
    yield started
    started.stop()


@pytest.fixture
def path(tmp_path: Path, thread: NamespaceThread) -> Iterator[Path]:
    """A network namespace of the test's own."""
    made = tmp_path / "netns" / "one"
    thread.create(made)
    yield made
    netns.remove(made)
