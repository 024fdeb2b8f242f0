"""A fake agent, and the command line pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.cli.main import main
from tests.fakes.api import FakeApi, serving


class Ran(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Hostler = Callable[..., Ran]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    with serving(tmp_path / "api.sock") as fake:
        yield fake


@pytest.fixture
def bare(capsys: pytest.CaptureFixture[str]) -> Hostler:
    """Runs ``hostler`` with arguments."""

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def hostler(api: FakeApi, bare: Hostler) -> Hostler:
    """Runs ``hostler`` with arguments against the fake agent."""
    return lambda *arguments: bare(*arguments, "--socket", str(api.path))
