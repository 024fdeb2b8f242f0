"""What would keep an agent from starting is found without starting one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.checking import checked
from agent.config import ConfigError


def test_good_settings_are_given(tmp_path: Path) -> None:
    loaded = checked({"HOSTLER_RUN_DIR": str(tmp_path)}, {})
    assert loaded.settings.run_dir == tmp_path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HOSTLER_ENIS", "[]"),
        ("HOSTLER_SECURITY_GROUPS", "[]"),
        ("HOSTLER_RUNTIMES", "[]"),
    ],
)
def test_files_that_settings_name_are_read(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=str(file)):
        checked({name: str(file)}, {})


def test_a_file_that_cant_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        checked({"HOSTLER_SECURITY_GROUPS": str(tmp_path)}, {})


def test_keys_that_nobody_could_use_are_a_wrong_setting(tmp_path: Path) -> None:
    flags = {"HOSTLER_STATE_DIR": str(tmp_path)}
    keys = checked(flags, {}).settings.credentials
    keys.touch(mode=0o600)
    with pytest.raises(ConfigError, match=f"{keys} has no keys"):
        checked(flags, {})
    checked({**flags, "HOSTLER_API_LISTEN": "off"}, {})


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="HOSTLER_RUN_DIR=relative"):
        checked({"HOSTLER_RUN_DIR": "relative"}, {})


@pytest.mark.parametrize("module", ["agent.settings", "agent.config", "agent.checking"])
def test_it_does_not_matter_what_is_imported_first(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
