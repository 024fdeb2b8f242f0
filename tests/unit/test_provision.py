"""Which settings ``vagrant/provision.sh`` takes from its environment."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "vagrant/provision.sh"
PARTS = r"(?ms)^(?:first|last)=.*?$|^die\(\) .*?$|^(?:given|configure)\(\) \{$.*?^\}$"


def configured(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the script does to the file of settings, without a service that is restarted."""
    parts = re.findall(PARTS, SCRIPT.read_text())
    lines = ["set -eu", "systemctl() { :; }", f"config='{file}'", *parts, "configure"]
    return subprocess.run(
        ["sh", "-c", "\n".join(lines)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings(file: Path) -> list[str]:
    return [each for each in file.read_text().splitlines() if not each.startswith("#")]


def test_they_are_at_the_end_of_the_file_once(tmp_path: Path) -> None:
    file = tmp_path / "hostler.config"
    file.write_text("ECS_CLUSTER=mine\n")
    for value in ("a b", '{"c": 1} # \\d'):
        assert configured(file, HOSTLER_CPU=value, HOME="/").returncode == 0
        assert settings(file) == ["ECS_CLUSTER=mine", f"HOSTLER_CPU={value}"]


def test_none_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "hostler.config"
    file.write_text("ECS_CLUSTER=mine\n")
    assert configured(file, HOME="/").returncode == 0
    assert file.read_text() == "ECS_CLUSTER=mine\n"


def test_a_line_of_another_variable_is_no_setting(tmp_path: Path) -> None:
    file = tmp_path / "hostler.config"
    file.write_text("")
    said = "fix it\nHOSTLER_CONTAINERD=/somebody/elses.sock"
    assert configured(file, COMMIT_MESSAGE=said, HOSTLER_CPU="2").returncode == 0
    assert settings(file) == ["HOSTLER_CPU=2"]


def test_a_value_of_several_lines_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hostler.config"
    file.write_text("ECS_CLUSTER=mine\n")
    ran = configured(file, ECS_ENGINE_AUTH_DATA='{"a":\nHOSTLER_CPU=1}')
    assert ran.returncode != 0
    assert ran.stderr == "provision: ECS_ENGINE_AUTH_DATA has more than one line\n"
    assert file.read_text() == "ECS_CLUSTER=mine\n"
