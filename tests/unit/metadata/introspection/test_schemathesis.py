"""Schemathesis, unmodified, as a judge of the introspection port."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.unit.metadata.contract import INTROSPECTION
from tests.unit.metadata.introspection.conftest import Ask
from tests.unit.metadata.judging import SCHEMATHESIS_S, schemathesis_finds_nothing
from tests.unit.metadata.variety import SHAPES, task


@pytest.mark.timeout(SCHEMATHESIS_S + 30)
async def test_it_finds_nothing(ask: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session = await ask(*(task(shape) for shape in SHAPES))
    await schemathesis_finds_nothing(INTROSPECTION, session, INTROSPECTION.operations, tmp_path)
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
