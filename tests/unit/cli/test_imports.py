"""What commands import, since that is most of the time they take."""

import os
import re
import subprocess
import sys

import pytest

AGENTS_OWN = {
    *("aiohttp", "asyncio", "grpc", "google", "jeepney", "prometheus_client", "psutil", "sqlite3"),
    *("boto3", "botocore", "pydantic", "pyroute2", "cni", "metadata", "agent.app", "agent.engine"),
}
"""Packages and modules that the agent needs, or somebody's plugin, but no client of it."""

DRAWING = {"rich"}
"""For verbs that show progress, and for them only."""


@pytest.mark.parametrize(
    ("verb", "status"),
    [(("version",), 0), (("ps", "--socket", "/none/api.sock"), 125), (("agent", "--help"), 0)],
)
def test_a_verb_imports_nothing_that_only_the_agent_needs(
    verb: tuple[str, ...], status: int
) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "agent", *verb],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", ran.stderr, re.MULTILINE))
    assert ran.returncode == status
    assert "agent.cli.main" in imported
    assert not imported & (AGENTS_OWN | DRAWING)
