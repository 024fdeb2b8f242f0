"""The command as a whole."""

import subprocess
import sys

import pytest

from agent import VERSION
from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import container, know, task


def test_version_is_printed(bare: Hostler) -> None:
    assert bare("version") == (0, f"hostler {VERSION}\n", "")
    assert VERSION in bare("version", "--json").out


def test_help_names_the_verbs_for_users(bare: Hostler) -> None:
    out = bare("--help").out
    for verb in (
        "run",
        "ps",
        "inspect",
        "logs",
        "stop",
        "drain",
        "undrain",
        "image",
        "version",
        "agent",
    ):
        assert f"\n  {verb} " in out
    assert "trial" not in out


@pytest.mark.parametrize("arguments", [("nonsense",), ("stop",), ("logs", "x", "--tail", "-1")])
def test_wrong_usage_ends_with_2(bare: Hostler, arguments: tuple[str, ...]) -> None:
    assert bare(*arguments).code == 2


def test_a_missing_agent_ends_with_125(bare: Hostler) -> None:
    ran = bare("ps", "--socket", "/none/api.sock")
    assert ran == (
        125,
        "",
        "hostler: no agent answers on /none/api.sock: start it with 'systemctl start hostler'"
        " or 'hostler agent'\n",
    )


def test_the_socket_follows_from_the_settings(
    api: FakeApi, bare: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(api, task(container("web")))
    monkeypatch.setenv("HOSTLER_RUN_DIR", str(api.path.parent))
    assert "web" in bare("ps").out
    monkeypatch.setenv("HOSTLER_RUN_DIR", "relative")
    assert "HOSTLER_RUN_DIR=relative (the environment): must be" in bare("ps").err


def test_a_reader_that_went_away_is_no_error_to_speak_of(api: FakeApi) -> None:
    know(api, *(task(container("c" * 60_000), task_id=f"{n:032x}") for n in range(4)))
    command = [sys.executable, "-m", "agent", "ps", "--socket", str(api.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_client_verbs_import_nothing_heavy() -> None:
    heavy = {"aiohttp", "grpc", "pydantic", "asyncio", "rich", "pyroute2", "prometheus_client"}
    code = f"import agent.cli.main, sys; print(sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
