"""The metadata file that a container finds inside itself, where the operator wants such files.

The container's own directory below the state directory is mounted into it, read-only: what it could
write there, we would follow as root. The first version is there before the container is; whatever
differs later is written by a follower that compares, so it doesn't matter what a crash has left.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.model import Task, TaskId
from agent.task.names import Names
from agent.task.story import about
from metadata import file
from metadata.source import ContainerFacts, InstanceFacts, Owner, Source, TaskFacts

RETRY_S = 5.0
"""Before another attempt to write what could not be written."""

VARIABLE = "ECS_CONTAINER_METADATA_FILE"
_FILE = "ecs-container-metadata.json"

log = logging.getLogger(__name__)


class Changes(Protocol):
    """Something that changes in numbered steps (``engine.feed.Feed``)."""

    @property
    def version(self) -> int:
        """Grows with each change."""

    async def beyond(self, version: int) -> None:
        """Returns once there was a change after ``version``."""


class MetadataFiles:
    """The files of all containers, one writer after the other for each."""

    def __init__(self, of: Names, instance: InstanceFacts) -> None:
        self._names = of
        self._instance = instance
        self._written: dict[tuple[str, str], tuple[ContainerFacts, bytes]] = {}

    def prepare(self, task: Task, name: str) -> tuple[BindMount, ...]:
        """There is a file, the first version if it is new; gives the mount of its directory.

        Blocking. Without one the container must do: a failure is logged, and gives no mount.
        """
        directory = self._names.metadata_dir(task.id, name)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)  # whatever the umask: programs of any user read it
            if not (directory / _FILE).exists():
                _replace(directory, file.text(self._instance, *self._first(task, name)))
        except OSError as error:
            told = "container %s of task %s has no metadata file: %s"
            log.warning(told, name, task.id, error, extra=about(task, name))
            return ()
        inside = names.metadata_mount(task.id, name)
        return (BindMount(str(directory), inside, read_only=True),)

    async def follow(self, source: Source, changes: Changes) -> None:
        """Keeps the files of all containers that run as complete as the facts; until cancelled."""
        while True:
            seen = changes.version
            complete = await self._update(source)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if complete else RETRY_S):
                    await changes.beyond(seen)

    async def _update(self, source: Source) -> bool:
        """Writes what differs from what was written last; False if some of it could not be."""
        ready = {
            (task.arn, each.name): (task, each)
            for task in source.tasks()
            for each in task.containers
            if file.is_ready(each)
        }
        self._written = {key: self._written[key] for key in self._written.keys() & ready.keys()}
        complete = True
        for key, (task, container) in ready.items():
            facts, before = self._written.get(key, (None, b""))
            if facts is container:
                continue
            text = file.text(self._instance, task, container)
            if text == before or await asyncio.to_thread(self._write, task, container, text):
                self._written[key] = container, text
            else:
                complete = False
        return complete

    def _write(self, task: TaskFacts, container: ContainerFacts, text: bytes) -> bool:
        """Whether it is written. A container that was made without a file gets none."""
        directory = self._names.metadata_dir(TaskId(task.arn.rpartition("/")[2]), container.name)
        try:
            if directory.exists():
                _replace(directory, text)
        except OSError as error:
            log.warning(
                "can't write the metadata file of %s yet: %s",
                *(container.docker_name, error),
                extra={"TASK_ARN": task.arn, "CONTAINER_NAME": container.name},
            )
            return False
        return True

    def _first(self, task: Task, name: str) -> tuple[TaskFacts, ContainerFacts]:
        """What is known before the container is made."""
        return (
            TaskFacts(
                owner=Owner(task.id),
                arn=task.arn,
                cluster=self._instance.cluster,
                family=task.definition.family,
                revision=str(task.revision),
                known_status="NONE",
                availability_zone=self._instance.zone,
            ),
            ContainerFacts(
                name=name,
                image=task.container(name).image,
                desired_status="RUNNING",
                known_status="NONE",
            ),
        )


def path_inside(mounts: tuple[BindMount, ...], task: Task, name: str) -> dict[str, str]:
    """The variable that tells the container where its file is, if that is mounted."""
    inside = names.metadata_mount(task.id, name)
    mounted = any(each.destination == inside for each in mounts)
    return {VARIABLE: f"{inside}/{_FILE}"} if mounted else {}


def remove(task: Task, of: Names) -> None:
    """None of the task's files is left. Raises OSError."""
    with suppress(FileNotFoundError):
        shutil.rmtree(of.task_metadata_dir(task.id))


def draft_of(directory: Path) -> Path:
    """Where a container's file is written, outside of its mount.

    No container's name has a dot in it; the longest of them leaves no room for more.
    """
    return directory.with_name("." + sha256(directory.name.encode()).hexdigest()[:16])


def _replace(directory: Path, text: bytes) -> None:
    """The container sees the file before or the file after, and never the draft."""
    draft = draft_of(directory)
    draft.write_bytes(text)
    draft.chmod(0o644)
    draft.replace(directory / _FILE)
