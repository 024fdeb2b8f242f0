"""Metadata files on a real disk: there before the container, complete soon after, gone at last."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent.engine.feed import Feed
from agent.host.containers import metadata_files
from agent.host.containers.metadata_files import MetadataFiles
from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.names import Names
from metadata.source import ContainerFacts, InstanceFacts, NetworkFacts, Owner, TaskFacts
from tests.worlds import CLUSTER, container, task

WEB = task(container("web"), container("db"), task_id="a" * 32)
INSTANCE = InstanceFacts(CLUSTER, names.container_instance_arn(CLUSTER), "0.1.0", zone="xx-test-1a")
FILE = "ecs-container-metadata.json"


@dataclass
class Shown:
    """A feed and a source of facts in one."""

    changes: Feed = field(default_factory=Feed)
    every: list[TaskFacts] = field(default_factory=list)
    instance: InstanceFacts = INSTANCE

    def tasks(self) -> Iterator[TaskFacts]:
        return iter(self.every)

    def owned(self, owner: Owner) -> Iterator[TaskFacts]:
        return self.tasks()

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        return None

    def show(self, *containers: ContainerFacts) -> None:
        self.every = [
            TaskFacts(Owner(WEB.id), WEB.arn, CLUSTER, "test", "1", "RUNNING", "", containers)
        ]
        self.changes.forget(WEB.id)  # any change will do


@dataclass
class Disk:
    """The files of one agent; `again` is another agent's memory, after a crash."""

    of: Names

    def __post_init__(self) -> None:
        self.again()

    def again(self) -> None:
        self.files = MetadataFiles(self.of, INSTANCE)

    def path(self, name: str = "web") -> Path:
        return self.of.metadata_dir(WEB.id, name) / FILE

    def read(self, name: str = "web") -> Any:
        return json.loads(self.path(name).read_text())

    @asynccontextmanager
    async def following(self, shown: Shown) -> AsyncIterator[None]:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            follower = group.create_task(self.files.follow(shown, shown.changes))
            yield
            follower.cancel()

    async def until_ready(self, name: str = "web", **expected: object) -> Any:
        """The file once it is complete and says so."""
        while True:
            found = self.read(name)
            if found.get("MetadataFileStatus") == "READY" and expected.items() <= found.items():
                return found
            await asyncio.sleep(0.005)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(Names(tmp_path / "run", tmp_path / "state", "/hostler", "hv"))


def up(name: str = "web", address: str = "10.0.0.2", **facts: Any) -> ContainerFacts:
    made = ContainerFacts(
        name=name,
        image="hostler/hello",
        desired_status="RUNNING",
        known_status="RUNNING",
        docker_id=names.container_id(WEB.id, name),
        docker_name=f"ecs-{name}",
        networks=(NetworkFacts("bridge", (address,)),),
    )
    return replace(made, **facts)


def test_the_first_version_is_there_before_the_container(disk: Disk) -> None:
    mounts = disk.files.prepare(WEB, "web")
    inside = names.metadata_mount(WEB.id, "web")
    assert mounts == (BindMount(str(disk.path().parent), inside, read_only=True),)
    assert disk.read() == {
        "Cluster": "lab",
        "ContainerInstanceARN": INSTANCE.arn,
        "TaskARN": WEB.arn,
        "TaskDefinitionFamily": "test",
        "TaskDefinitionRevision": "1",
        "ContainerName": "web",
        "AvailabilityZone": "xx-test-1a",
    }


def test_any_user_may_read_it_whatever_the_umask(disk: Disk) -> None:
    before = os.umask(0o077)
    try:
        disk.files.prepare(WEB, "web")
    finally:
        os.umask(before)
    assert stat.S_IMODE(disk.path().stat().st_mode) == 0o644
    assert stat.S_IMODE(disk.path().parent.stat().st_mode) == 0o755


def test_the_variable_names_the_file_if_it_is_mounted(disk: Disk) -> None:
    mounts = disk.files.prepare(WEB, "web")
    inside = f"{names.metadata_mount(WEB.id, 'web')}/{FILE}"
    assert metadata_files.path_inside(mounts, WEB, "web") == {"ECS_CONTAINER_METADATA_FILE": inside}
    assert metadata_files.path_inside(mounts, WEB, "db") == {}
    assert metadata_files.path_inside((), WEB, "web") == {}


def test_a_disk_that_refuses_costs_the_file_and_not_the_container(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.of.state_dir.parent.mkdir(exist_ok=True)
    disk.of.state_dir.write_text("no directory")
    assert disk.files.prepare(WEB, "web") == ()
    assert f"container web of task {WEB.id} has no metadata file: " in caplog.text


async def test_it_is_complete_soon_after_the_start(disk: Disk) -> None:
    shown = Shown()
    disk.files.prepare(WEB, "web")
    async with disk.following(shown):
        shown.show(up(known_status="CREATED"))
        await asyncio.sleep(0)
        assert "MetadataFileStatus" not in disk.read()
        shown.show(up())
        found = await disk.until_ready()
    assert found["ContainerID"] == names.container_id(WEB.id, "web")
    assert found["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["10.0.0.2"]}]
    assert stat.S_IMODE(disk.path().stat().st_mode) == 0o644


async def test_a_change_while_it_is_written_is_written_too(disk: Disk) -> None:
    shown = Shown()
    for name in ("web", "db"):
        disk.files.prepare(WEB, name)
    async with disk.following(shown):
        for number in range(20):
            shown.show(up(docker_name=f"n{number}"), up("db", docker_name=f"n{number}"))
            await asyncio.sleep(0)
        for name in ("web", "db"):
            await disk.until_ready(name, DockerContainerName="/n19")


async def test_the_next_agent_completes_what_a_crash_has_left(disk: Disk) -> None:
    shown = Shown()
    disk.files.prepare(WEB, "web")
    shown.show(up())
    disk.again()
    async with disk.following(shown):
        await disk.until_ready()


async def test_it_is_written_again_by_the_next_agent(disk: Disk) -> None:
    shown = Shown()
    disk.files.prepare(WEB, "web")
    shown.show(up())
    async with disk.following(shown):
        await disk.until_ready()
    disk.path().write_text("{}")
    disk.again()
    async with disk.following(shown):
        await disk.until_ready()


async def test_facts_that_are_no_part_of_it_write_nothing(disk: Disk) -> None:
    shown = Shown()
    for name in ("web", "db"):
        disk.files.prepare(WEB, name)
    async with disk.following(shown):
        shown.show(up())
        await disk.until_ready()
        inode = disk.path().stat().st_ino
        shown.show(up(restart_count=1), up("db"))
        await disk.until_ready("db")
    assert disk.path().stat().st_ino == inode


async def test_a_container_that_was_made_without_a_file_gets_none(disk: Disk) -> None:
    shown = Shown()
    disk.files.prepare(WEB, "db")
    async with disk.following(shown):
        shown.show(up(), up("db"))
        await disk.until_ready("db")
    assert not disk.path().parent.exists()


async def test_a_container_that_has_ended_keeps_what_it_had(disk: Disk) -> None:
    shown = Shown()
    for name in ("web", "db"):
        disk.files.prepare(WEB, name)
    async with disk.following(shown):
        shown.show(up())
        await disk.until_ready()
        shown.show(up(known_status="STOPPED", address=""), up("db"))
        await disk.until_ready("db")
    assert disk.read()["Networks"][0]["IPv4Addresses"] == ["10.0.0.2"]


async def test_what_could_not_be_written_is_tried_again(
    disk: Disk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_files, "RETRY_S", 0.01)
    shown = Shown()
    for name in ("web", "db"):
        disk.files.prepare(WEB, name)
    obstacle = metadata_files.draft_of(disk.path().parent)
    obstacle.mkdir()
    async with disk.following(shown):
        shown.show(up(), up("db"))
        await disk.until_ready("db")
        assert "MetadataFileStatus" not in disk.read()
        obstacle.rmdir()
        await disk.until_ready()
    assert "can't write the metadata file of ecs-web yet: " in caplog.text


def test_a_container_made_once_more_keeps_its_complete_file(disk: Disk) -> None:
    disk.files.prepare(WEB, "web")
    disk.path().write_text("complete")
    disk.files.prepare(WEB, "web")
    assert disk.path().read_text() == "complete"


def test_the_longest_name_has_a_file_too(disk: Disk) -> None:
    long = task(container("n" * 255), task_id="b" * 32)
    assert disk.files.prepare(long, "n" * 255)


def test_nothing_is_left_of_a_task(disk: Disk) -> None:
    for name in ("web", "db"):
        disk.files.prepare(WEB, name)
    metadata_files.remove(WEB, disk.of)
    assert not disk.of.task_metadata_dir(WEB.id).exists()
    metadata_files.remove(WEB, disk.of)
