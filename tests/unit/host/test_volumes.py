"""Volumes: where they are, and what is left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host import volumes
from agent.host.volumes import VolumeError
from agent.oci.inputs import BindMount
from agent.task.model import Task
from tests.unit.host import worlds
from tests.worlds import container


def mounting(source: str | None) -> Task:
    """A task with one volume, from the host where ``source`` is given."""
    mount = {"sourceVolume": "data", "containerPath": "/data", "readOnly": True}
    return worlds.task(
        container("web", mountPoints=[mount]),
        volumes=[{"name": "data", "host": {"sourcePath": source} if source else {}}],
    )


def mounts(task: Task, folder: Path) -> tuple[BindMount, ...]:
    return volumes.mounts(task, task.container("web"), worlds.names_below(folder))


def test_a_volume_without_a_path_is_a_directory_of_the_task(tmp_path: Path) -> None:
    task = mounting(None)
    made = worlds.names_below(tmp_path).volumes(task.id) / "data"
    assert mounts(task, tmp_path) == (BindMount(str(made), "/data", read_only=True),)
    assert made.is_dir()


def test_a_missing_directory_of_the_host_is_made(tmp_path: Path) -> None:
    wanted = tmp_path / "srv" / "data"
    assert mounts(mounting(str(wanted)), tmp_path) == (
        BindMount(str(wanted), "/data", read_only=True),
    )
    assert wanted.is_dir()


def test_a_file_of_the_host_is_mounted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    assert mounts(mounting(str(tmp_path / "file")), tmp_path)[0].source == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_volume_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="volume data"):
        mounts(mounting(str(tmp_path / "file" / "below")), tmp_path)


def test_only_the_tasks_own_volumes_are_removed(tmp_path: Path) -> None:
    mine, the_hosts = mounting(None), mounting(str(tmp_path / "srv"))
    for task in (mine, the_hosts):
        mounts(task, tmp_path)
        volumes.remove(task, worlds.names_below(tmp_path))
        volumes.remove(task, worlds.names_below(tmp_path))
    assert not worlds.names_below(tmp_path).volumes(mine.id).exists()
    assert (tmp_path / "srv").is_dir()
