"""What tests of logins have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.registry.logins.helpers import Helpers


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helpers:
    """Helpers of the test's own."""
    folder = tmp_path / "helpers"
    folder.mkdir()
    return Helpers(folder, monkeypatch)
