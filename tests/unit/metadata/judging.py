"""What the tests of answers by descriptions share: asking, wrong answers, and schemathesis."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from tests.unit.metadata.contract import Contract, Received

SCHEMATHESIS_S = 300.0
_CONFIG = Path(__file__).with_name("schemathesis.toml")


async def receive(
    session: ClientSession,
    path: str,
    method: str = "get",
    *,
    query: str = "",
    data: bytes | None = None,
    **headers: str,
) -> Received:
    """The answer to one request; ``query`` begins with a question mark."""
    url = URL(path + query, encoded=True)
    async with session.request(
        method, url, allow_redirects=False, headers=headers, data=data
    ) as response:
        body = await response.text()
        is_json = response.content_type == "application/json"
        content = json.loads(body) if is_json else body
        return Received(
            path, response.status, response.content_type, response.headers, content, method
        )


def with_strays(value: Any) -> Iterator[Any]:
    """Copies of the value, in each of which one object has a member more."""
    if isinstance(value, dict):
        yield {**value, "stray": {"stray": []}}
    for key, each in _entries(value):
        for changed in with_strays(each):
            copied = copy.copy(value)
            copied[key] = changed
            yield copied


def _entries(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


async def schemathesis_finds_nothing(
    described: Contract, session: ClientSession, shows: Collection[str], scratch: Path
) -> None:
    """It ran to its end without a complaint; each of the ``shows`` has done so once at least.

    These are methods with paths, as in ``GET /v1/tasks``.

    It finds answers that are not as described: other status codes (so a 500 only where ECS has
    one), other content types, headers or bodies, and answers that take longer than clients wait.
    """
    report = scratch / "report.json"
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("st"),
        *("--config-file", _CONFIG, "run", described.file),
        *("--url", str(session._base_url), "--report-json-path", report),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SCHEMATHESIS_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    found = json.loads(report.read_text())
    assert found["complete"]
    assert found["errors"] == []
    refused = {each for each in shows if not _accepted(found["valid_rates"][each])}
    assert not refused, f"nothing but refusals: {sorted(refused)}"


def _accepted(rates: dict[str, dict[str, int]]) -> bool:
    return any(phase["accepted"] for phase in rates.values())
