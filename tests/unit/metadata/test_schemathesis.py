"""Schemathesis, unmodified, as a judge: what it makes of the OpenAPI description, sent to a server.

It finds answers that are not as described: other status codes (so a 500 only where ECS has one),
other content types, headers or bodies, and answers that take longer than clients wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.unit.metadata.contract import DESCRIPTION
from tests.unit.metadata.test_openapi import SHOWS

CONFIG = Path(__file__).with_name("schemathesis.toml")
DEADLINE_S = 120.0


@pytest.mark.timeout(DEADLINE_S + 30)
async def test_it_finds_nothing(
    various: ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("st"),
        *("--config-file", CONFIG, "run", DESCRIPTION),
        *("--url", str(various._base_url), "--report-json-path", report),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
    found = json.loads(report.read_text())
    assert found["complete"]
    assert found["errors"] == []
    for template in SHOWS:
        phases = found["valid_rates"][f"GET {template}"].values()
        assert any(phase["accepted"] for phase in phases), f"{template}: nothing but refusals"
