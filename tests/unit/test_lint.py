"""The linters are tests: format, lint, types and imports. Skipped at home where one is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = {
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", "."],
    "imports": ["lint-imports"],
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", TOOLS.values(), ids=TOOLS)
def test_the_tool_has_nothing_to_say(command: list[str]) -> None:
    program = Path(sys.executable).with_name(command[0])
    if not program.exists() and not os.environ.get("CI"):
        pytest.skip(f"{command[0]} is not installed")
    ran = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        pytest.fail(ran.stdout + ran.stderr, pytrace=False)


def test_work_is_started_in_few_places() -> None:
    places = {
        str(path.relative_to(ROOT / "agent"))
        for path in (ROOT / "agent").rglob("*.py")
        if ".create_task(" in path.read_text()
    }
    assert places <= {"app.py", "engine/fleet.py", "engine/supervisor.py"}
