"""What containers mount, where it is, and what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.volumes import binding, places
from agent.host.volumes.binding import Fresh
from agent.host.volumes.errors import VolumeError
from agent.host.volumes.shared import SharedVolume, SharedVolumes
from agent.oci.inputs import BindMount
from agent.task.model import Task
from tests.unit.host import worlds
from tests.worlds import container

DISK = {"type": "ext4", "device": "/dev/sdx"}
SERVER = {"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1"}


def mounting(**fields: object) -> Task:
    """A task with one volume of these fields."""
    mount = {"sourceVolume": "data", "containerPath": "/data", "readOnly": True}
    return worlds.task(container("web", mountPoints=[mount]), volumes=[{"name": "data", **fields}])


def at(source: str) -> Task:
    return mounting(host={"sourcePath": source})


def docker(scope: str = "task", **fields: object) -> Task:
    return mounting(dockerVolumeConfiguration={"scope": scope, **fields})


EFS = mounting(efsVolumeConfiguration={"fileSystemId": "fs-1"})


def mounts(task: Task, folder: Path) -> tuple[BindMount, ...]:
    return binding.mounts(task, "web", worlds.names_below(folder))


@pytest.mark.parametrize("task", [mounting(), docker()])
def test_a_volume_of_the_task_is_a_directory_that_every_user_may_enter(
    task: Task, tmp_path: Path
) -> None:
    made = worlds.names_below(tmp_path).volumes(task.id) / "data"
    assert mounts(task, tmp_path) == (BindMount(str(made), "/data", read_only=True),)
    assert made.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("task", "place"),
    [
        (docker(driverOpts=DISK), "run/volumes/{id}/own/data"),
        (EFS, "run/volumes/{id}/own/data"),
        (docker("shared"), "state/shared-volumes/data/data"),
        (docker("shared", autoprovision=True, driverOpts=DISK), "state/shared-volumes/data/data"),
    ],
)
def test_what_is_provided_is_neither_made_nor_looked_at(
    task: Task, place: str, tmp_path: Path
) -> None:
    assert places.is_provided(places.volume(task, "data"))
    source = tmp_path / place.format(id=task.id)
    assert mounts(task, tmp_path) == (BindMount(str(source), "/data", read_only=True),)
    assert list(tmp_path.iterdir()) == []


def test_mounts_of_others_are_mounted_too(tmp_path: Path) -> None:
    taken = [{"sourceContainer": "web"}]
    point = {"sourceVolume": "data", "containerPath": "/data"}
    task = worlds.task(
        container("web", mountPoints=[point]),
        container("side", volumesFrom=taken),
        volumes=[{"name": "data"}],
    )
    names = worlds.names_below(tmp_path)
    assert binding.mounts(task, "side", names) == binding.mounts(task, "web", names)


def test_a_missing_directory_of_the_host_is_made(tmp_path: Path) -> None:
    wanted = tmp_path / "srv" / "data"
    assert mounts(at(str(wanted)), tmp_path) == (BindMount(str(wanted), "/data", read_only=True),)
    assert wanted.is_dir()


def test_a_directory_of_the_host_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir(mode=0o700)
    mounts(at(str(tmp_path / "srv")), tmp_path)
    assert (tmp_path / "srv").stat().st_mode & 0o777 == 0o700


def test_a_file_of_the_host_is_mounted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    assert mounts(at(str(tmp_path / "file")), tmp_path)[0].source == str(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_volume_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="volume data"):
        mounts(at(str(tmp_path / "file" / "below")), tmp_path)


def fresh(task: Task, folder: Path) -> list[Fresh]:
    return list(binding.fresh(task, "web", worlds.names_below(folder)))


@pytest.mark.parametrize("task", [mounting(), docker(), docker(driverOpts=DISK)])
def test_the_tasks_own_volumes_may_be_filled(task: Task, tmp_path: Path) -> None:
    names = worlds.names_below(tmp_path)
    (found,) = fresh(task, tmp_path)
    assert (found.source, found.path) == (places.source(task, "data", names), "/data")
    assert found.mark.parent == names.volumes(task.id)


@pytest.mark.parametrize("task", [at("/srv"), EFS, docker(driverOpts=SERVER)])
def test_the_hosts_directories_and_servers_are_never_filled(task: Task, tmp_path: Path) -> None:
    assert fresh(task, tmp_path) == []


@pytest.mark.parametrize(("options", "filled"), [({}, True), (DISK, True), (SERVER, False)])
def test_of_a_shared_volume_its_own_options_count(
    options: dict[str, str], filled: bool, tmp_path: Path
) -> None:
    shared = SharedVolumes(worlds.names_below(tmp_path).shared_volumes)
    shared.create(SharedVolume("data", 1.0, options))
    found = fresh(docker("shared"), tmp_path)
    assert [each.mark for each in found] == ([shared.mark("data")] if filled else [])
