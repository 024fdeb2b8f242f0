"""What is so once an agent has opened its volumes."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from agent.host.volumes.opening import open_volumes
from agent.settings import Settings
from agent.task.model import TaskId


def test_no_other_user_of_the_host_gets_to_the_data_of_volumes(tmp_path: Path) -> None:
    settings = replace(Settings(), run_dir=tmp_path / "run", state_dir=tmp_path / "state")
    names = settings.names
    folders = (names.volumes(TaskId("1")).parent, names.shared_volumes, names.mounts_dir)
    folders[0].mkdir(parents=True, mode=0o755)
    open_volumes(settings, "", ())
    assert [stat.S_IMODE(each.stat().st_mode) for each in folders] == [0o700] * 3
