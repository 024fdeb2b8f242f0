"""Mounting and taking away on a real kernel: servers that hang, and data that must not be lost."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from agent.host.volumes import binding, mounting, mountpoints, trees
from agent.host.volumes.errors import CannotCreateVolume, NoSuchVolume, VolumeError
from agent.host.volumes.mounting import MountFailed
from agent.host.volumes.provider import VolumeProvider
from agent.host.volumes.requests import MountRequest
from agent.host.volumes.shared import SharedVolume, SharedVolumes
from agent.host.volumes.sharing import Sharing, VolumeExists, VolumeInUse
from agent.task.model import Task, TaskId
from agent.task.names import Names
from agent.task.view import Absent, Seen
from tests.system.agent import ROOT
from tests.system.silentserver import silent
from tests.system.tasks import eventually
from tests.unit.host import worlds
from tests.worlds import container

MEMORY = {"type": "tmpfs", "device": "tmpfs"}
SOON_S = 20.0
"""Much less than for ever, and much more than it takes."""


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Names]:
    yield worlds.names_below(tmp_path)
    mountpoints.detach(tmp_path)


@pytest.fixture
def shared(names: Names) -> SharedVolumes:
    return SharedVolumes(names.shared_volumes)


@pytest.fixture
def provider(names: Names, shared: SharedVolumes) -> VolumeProvider:
    sharing = Sharing(names, shared, match_full=False)
    return VolumeProvider(names, sharing, "", {"fs-1": "127.0.0.1"})


def of_docker(name: str, scope: str = "task", **fields: object) -> dict[str, object]:
    return {"name": name, "dockerVolumeConfiguration": {"scope": scope, **fields}}


def using(*volumes: dict[str, object]) -> Task:
    made = worlds.task(container("app"), volumes=list(volumes))
    return replace(made, id=TaskId(uuid4().hex))


def both() -> Task:
    """A task with a file system of its own and a shared one."""
    shared = of_docker("all", "shared", autoprovision=True, driverOpts=MEMORY)
    return using(of_docker("own", driverOpts=MEMORY), shared)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of somebody else's."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    return tmp_path / "precious" / "file"


def bind(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", source, target], check=True)


@pytest.mark.parametrize("place", [".", "a", "a/b"])
def test_what_is_mounted_below_a_directory_outlives_it(
    names: Names, precious: Path, place: str
) -> None:
    tree = names.state_dir / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    for _ in range(2):
        bind(precious.parent, tree / place)
    trees.remove(tree)
    assert not tree.exists()
    assert mountpoints.at_or_below(tree) == ()
    assert precious.read_text() == "kept"


def test_what_is_mounted_while_a_directory_goes_outlives_it(
    names: Names, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = names.state_dir / "tree"
    bind(precious.parent, tree / "a")
    # As if it were mounted between the look and the removal.
    monkeypatch.setattr(mountpoints, "detach", lambda _: None)
    with pytest.raises(OSError, match="busy"):
        trees.remove(tree)
    monkeypatch.undo()
    assert precious.read_text() == "kept"


def test_a_link_is_not_followed(names: Names, precious: Path) -> None:
    tree = names.state_dir / "tree"
    tree.mkdir(parents=True)
    (tree / "link").symlink_to(precious.parent)
    trees.remove(tree)
    assert precious.read_text() == "kept"


def nested(top: Path, levels: int) -> None:
    """As a container nests them, which needs no path that the kernel takes."""
    top.mkdir(parents=True)
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("below", dir_fd=here)
        here, above = os.open("below", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)


def test_a_tree_deeper_than_any_path_goes(names: Names) -> None:
    tree = names.state_dir / "tree"
    nested(tree / "a", 3000)
    nested(tree / "b" / "c", 2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        trees.remove(tree)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list(names.state_dir.iterdir()) == []


def test_what_is_moved_while_it_goes_leads_nowhere_else(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, other = names.state_dir / "tree", names.state_dir / "other"
    nested(tree, 2)
    nested(other / "below", 1)
    moved, scandir = (tree / "below" / "below"), os.scandir
    moved.joinpath("file").touch()

    def moving(folder: int) -> object:
        with suppress(FileNotFoundError):
            if moved.stat().st_ino == os.fstat(folder).st_ino:
                moved.rename(other / "moved")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", moving)
    with pytest.raises(OSError, match="moved"):
        trees.remove(tree)
    assert (other / "below" / "file").exists()


def test_what_resists_keeps_no_agent_from_starting(
    names: Names, shared: SharedVolumes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = names.shared_volumes
    resists = folder / ".removed" / "data"
    for each in (resists, folder / ".other"):
        each.mkdir(parents=True)
    subprocess.run(["chattr", "+i", resists], check=True)
    try:
        shared.sweep()
    finally:
        subprocess.run(["chattr", "-i", resists], check=True)
    assert list(folder.iterdir()) == [folder / ".removed"]
    assert f"can't remove {folder / '.removed'}" in caplog.text


def test_odd_names_are_found_in_the_kernels_table(names: Names, precious: Path) -> None:
    odd = names.state_dir / "a b\\c\nd"
    bind(precious.parent, odd)
    assert mountpoints.is_mounted(odd)
    mountpoints.detach(odd)
    assert not mountpoints.is_mounted(odd)


async def test_a_task_has_its_volumes_until_they_are_taken_back(
    provider: VolumeProvider, names: Names, tmp_path: Path
) -> None:
    task = both()
    assert await provider.look(task) == Absent()
    for _ in range(2):
        await provider.provide(task)
        assert await provider.look(task) == Seen(None)
        assert len(mountpoints.at_or_below(tmp_path)) == 2
    for _ in range(2):
        await provider.take_back(task)
        assert await provider.look(task) == Absent()
        assert mountpoints.at_or_below(tmp_path) == ()
    assert list(names.mounts_dir.iterdir()) == []


async def test_a_shared_file_system_goes_with_the_last_who_uses_it(
    provider: VolumeProvider, shared: SharedVolumes
) -> None:
    tasks = [both(), both()]
    for each in tasks:
        await provider.provide(each)
    (shared.path("all") / "file").write_text("x")
    assert shared.names() == ("all",)
    with pytest.raises(VolumeInUse) as caught:
        await provider.sharing.remove("all")
    assert caught.value.tasks == tuple(sorted(each.id for each in tasks))
    await provider.take_back(tasks[0])
    assert (shared.path("all") / "file").exists()
    await provider.take_back(tasks[1])
    assert not mountpoints.is_mounted(shared.path("all"))
    await provider.sharing.remove("all")
    with pytest.raises(NoSuchVolume):
        await provider.sharing.remove("all")


async def test_if_one_volume_cant_be_had_none_is_left(
    provider: VolumeProvider, names: Names, tmp_path: Path
) -> None:
    missing = of_docker("gone", driverOpts={"type": "ext4", "device": "/dev/nothing"})
    task = using(of_docker("own", driverOpts=MEMORY), missing)
    with pytest.raises(CannotCreateVolume, match=r"volume gone: mounting /dev/nothing: .* exist"):
        await provider.provide(task)
    assert await provider.look(task) == Absent()
    assert mountpoints.at_or_below(tmp_path) == ()
    assert list(names.mounts_dir.iterdir()) == []


async def test_a_shared_volume_must_be_there_unless_it_may_be_made(
    provider: VolumeProvider, shared: SharedVolumes
) -> None:
    with pytest.raises(NoSuchVolume, match="get all: no such volume"):
        await provider.provide(using(of_docker("all", "shared")))
    await provider.sharing.create(SharedVolume("all", 1.0))
    with pytest.raises(VolumeExists):
        await provider.sharing.create(SharedVolume("all", 1.0))
    await provider.provide(using(of_docker("all", "shared")))
    assert shared.names() == ("all",)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"driverOpts": MEMORY}, "all has other driverOpts than the task definition"),
        ({"labels": {"a": "b"}}, "all has other labels than the task definition"),
    ],
)
async def test_options_and_labels_are_compared_where_the_operator_wants_it(
    names: Names, shared: SharedVolumes, asked: dict[str, object], says: str
) -> None:
    shared.create(SharedVolume("all", 1.0))
    task = using(of_docker("all", "shared", autoprovision=True, **asked))
    strict = VolumeProvider(names, Sharing(names, shared, match_full=True), "", {})
    with pytest.raises(VolumeError, match=says):
        await strict.provide(task)
    lax = VolumeProvider(names, Sharing(names, shared, match_full=False), "", {})
    await lax.provide(task)
    assert shared.find("all") == SharedVolume("all", 1.0)


async def test_efs_needs_a_region_or_a_server(provider: VolumeProvider) -> None:
    task = using({"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-2"}})
    with pytest.raises(VolumeError, match=r"AWS_DEFAULT_REGION.*HOSTLER_EFS_SERVERS.*fs-2"):
        await provider.provide(task)


async def test_a_server_that_cant_be_found_is_named(tmp_path: Path) -> None:
    request = MountRequest("nfs", "nas.invalid:/x")
    with pytest.raises(MountFailed, match=r"can't resolve nas\.invalid"):
        await mounting.mount(request, tmp_path)


async def test_blanks_and_options_arrive_as_they_are(tmp_path: Path) -> None:
    target = tmp_path / "a b#\\c"
    target.mkdir()
    await mounting.mount(MountRequest("tmpfs", "#some where", "mode=0751,size=1m,ro"), target)
    try:
        (line,) = (
            each
            for each in Path("/proc/self/mounts").read_text().splitlines()
            if each.startswith("\\043some\\040where ")
        )
        assert target.stat().st_mode & 0o777 == 0o751
        assert "ro,relatime,size=1024k" in line
    finally:
        mountpoints.detach(tmp_path)


async def test_a_mount_that_hangs_is_given_up(tmp_path: Path) -> None:
    target, dead = tmp_path / "target", tmp_path / "dead"
    target.mkdir()
    dead.mkdir()
    with silent(dead):
        request = MountRequest("none", str(dead / "below"), "bind")
        with pytest.raises(MountFailed, match="no answer within 1 s"):
            await mounting.mount(request, target, deadline_s=1)
    assert mountpoints.at_or_below(tmp_path) == ()


async def test_a_task_whose_server_has_died_is_taken_back(
    provider: VolumeProvider, names: Names, tmp_path: Path
) -> None:
    task = both()
    await provider.provide(task)
    with (
        silent(names.task_mounts(task.id) / "own" / "own"),
        silent(names.shared_volumes / "all" / "data"),
    ):
        async with asyncio.timeout(SOON_S):
            assert await provider.look(task) == Seen(None)
            assert binding.mounts(task, "app", names) == ()
            await provider.take_back(task)
        assert mountpoints.at_or_below(tmp_path) == ()


def test_a_mount_that_comes_too_late_finds_no_place(names: Names, precious: Path) -> None:
    """What makes it safe to leave a mount alone that can't be killed."""
    target = names.task_mounts(both().id) / "own" / "v"
    target.mkdir(parents=True)
    late = subprocess.Popen(
        ["sh", "-c", 'cd "$1" && echo ready && read go && mount --bind "$2" .', "-", target,
         precious.parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert late.stdout is not None
    assert late.stdout.readline() == b"ready\n"
    trees.remove(target.parents[1])
    late.communicate(b"go\n", timeout=SOON_S)
    assert late.returncode != 0
    assert mountpoints.at_or_below(names.run_dir) == ()


LEFT: dict[str, Callable[[Names, Task], None]] = {
    "nothing": lambda names, task: None,
    "it was not whole": lambda names, task: (names.task_mounts(task.id) / "whole").unlink(),
    "its record is cut short": lambda names, task: _cut(names.task_mounts(task.id) / "whole"),
    "a mount is gone": lambda names, task: mountpoints.detach(
        names.task_mounts(task.id) / "own" / "own"
    ),
    "a shared mount is gone": lambda names, task: mountpoints.detach(
        names.shared_volumes / "all" / "data"
    ),
}


def _cut(path: Path) -> None:
    path.write_text(path.read_text()[:5])


@pytest.mark.parametrize("left", LEFT)
async def test_the_next_agent_keeps_what_is_whole_and_no_more(
    provider: VolumeProvider, names: Names, tmp_path: Path, left: str
) -> None:
    task, gone = both(), both()
    await provider.provide(task)
    await provider.provide(gone)
    LEFT[left](names, task)
    provider.sweep([task.id])
    whole = left == "nothing"
    assert await provider.look(task) == (Seen(None) if whole else Absent())
    assert await provider.look(gone) == Absent()
    assert len(mountpoints.at_or_below(tmp_path)) == (2 if whole else 0)
    await provider.provide(task)
    assert len(mountpoints.at_or_below(tmp_path)) == 2
    await provider.take_back(task)


async def test_a_shared_file_system_that_nobody_claims_is_taken_away(
    provider: VolumeProvider, shared: SharedVolumes, names: Names
) -> None:
    task = both()
    await provider.provide(task)
    (names.task_mounts(task.id) / "shared" / "all").rmdir()
    provider.sweep([])
    assert not mountpoints.is_mounted(shared.path("all"))
    assert shared.names() == ("all",)


def test_what_cant_be_unmounted_is_an_error(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    place = names.run_dir / "place"
    bind(names.run_dir.parent, place)
    with monkeypatch.context() as patch, (place / "used").open("w"):
        patch.setattr(mountpoints, "_UMOUNT", ("umount", "--"))  # not lazy
        with pytest.raises(OSError, match=f"can't unmount {place}: .* busy"):
            mountpoints.detach(place)
    mountpoints.detach(place)
    assert not mountpoints.is_mounted(place)


def test_an_unmount_that_hangs_is_killed(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    place = names.run_dir / "place"
    bind(names.run_dir.parent, place)
    with monkeypatch.context() as patch:
        patch.setattr(mountpoints, "DEADLINE_S", 3.0)  # for umount to be through
        patch.setattr(mountpoints, "_UMOUNT", ("sh", "-c", 'umount -l "$1"; exec sleep 60', "-"))
        mountpoints.detach(place)
        assert not mountpoints.is_mounted(place)
        bind(names.run_dir.parent, place)
        patch.setattr(mountpoints, "DEADLINE_S", 0.2)
        patch.setattr(mountpoints, "_UMOUNT", ("sh", "-c", "exec sleep 60", "-"))
        with pytest.raises(OSError, match="can't unmount"):
            mountpoints.detach(place)
    mountpoints.detach(place)


async def test_a_task_that_is_stopped_while_it_is_provided_leaves_nothing(
    provider: VolumeProvider, names: Names, tmp_path: Path
) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    hanging = {"type": "none", "device": str(dead / "x"), "o": "bind"}
    task = using(of_docker("own", driverOpts=MEMORY), of_docker("dead", driverOpts=hanging))
    with silent(dead):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await provider.provide(task)
        assert time.monotonic() - began < SOON_S
    assert mountpoints.at_or_below(tmp_path) == ()
    assert list(names.mounts_dir.iterdir()) == []


def test_a_mount_that_outlives_its_agent_is_ended(
    provider: VolumeProvider, shared: SharedVolumes, tmp_path: Path
) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from agent.host.volumes.mounting import mount\n"
        "from agent.host.volumes.requests import MountRequest\n"
        "asyncio.run(mount(MountRequest('none', sys.argv[1], 'bind'), Path(sys.argv[2])))\n"
    )
    dead = tmp_path / "dead"
    dead.mkdir()
    shared.create(SharedVolume("all", 1.0))
    with silent(dead):
        command = [sys.executable, "-c", program, str(dead / "x"), str(shared.path("all"))]
        agent = psutil.Popen(command, cwd=ROOT)
        eventually(lambda: bool(agent.children()), "a mount that hangs")
        (left,) = agent.children()
        eventually(lambda: left.name() == "mount", "a mount that hangs")
        agent.kill()
        agent.wait()
        provider.sweep([])
        eventually(lambda: ended(left), "its end")


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_removing_a_volume_spares_what_was_mounted_there(
    provider: VolumeProvider, shared: SharedVolumes, precious: Path
) -> None:
    await provider.sharing.create(SharedVolume("all", 1.0))
    (shared.path("all") / "file").write_text("goes")
    bind(precious.parent, shared.path("all") / "below")
    await provider.sharing.remove("all")
    assert shared.names() == ()
    assert precious.read_text() == "kept"


async def test_forgetting_a_task_takes_back_what_is_still_mounted(
    provider: VolumeProvider, names: Names, tmp_path: Path
) -> None:
    task = both()
    await provider.provide(task)
    names.volumes(task.id).mkdir(parents=True)
    for _ in range(2):
        binding.remove(task, names)
    assert await provider.look(task) == Absent()
    assert not names.volumes(task.id).exists()
    provider.sweep([])
    assert mountpoints.at_or_below(tmp_path) == ()
