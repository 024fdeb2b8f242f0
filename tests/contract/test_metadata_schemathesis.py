"""Schemathesis, unmodified, as a judge: what it makes of the description, really sent."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.unit.metadata.contract import METADATA
from tests.unit.metadata.judging import SCHEMATHESIS_S, schemathesis_finds_nothing

NAMELESS = ("{associationType}/", "/v2/credentials/")
"""Paths in which something is missing."""


@pytest.mark.timeout(SCHEMATHESIS_S + 30)
async def test_it_finds_nothing(
    various: ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shows = [each for each in METADATA.operations if not each.endswith(NAMELESS)]
    await schemathesis_finds_nothing(METADATA, various, shows, tmp_path)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
