"""A containerd in memory, with a shelf of images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.containerd.client import Containerd
from tests.fakes.containerd import serving
from tests.unit.host.images.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(str(tmp_path))


@pytest.fixture
async def client(shelf: Shelf, tmp_path: Path) -> AsyncIterator[Containerd]:
    async with serving(shelf, tmp_path / "s"), Containerd(tmp_path / "s", "ns") as client:
        yield client
