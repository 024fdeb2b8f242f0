"""What containers carry of their tasks, for the day when the state store is lost.

A keepsake is an extension of the container's record in containerd (labels are limited to 4 KiB); a
container that is deleted leaves its facts in its task's directory, until that is removed with the
task. Ids of credentials are in neither: they are read from the container's environment.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agent.containerd.types import ContainerRecord
from agent.task import names
from agent.task.model import ContainerProgress, Progress, Task, TaskId
from agent.task.names import Names
from agent.task.rebuilding import Keepsake, keepsake, newest

EXTENSION = "hostler.keepsake"
"""Of a container's record; JSON of a Keepsake."""

_ENDED = ".ended"
"""Directory of facts about deleted containers, in the task's own; no container has such a name."""

_URIS = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - the name of a variable

_KEEPSAKE: TypeAdapter[Keepsake] = TypeAdapter(Keepsake)
_FACTS: TypeAdapter[ContainerProgress] = TypeAdapter(ContainerProgress)


@dataclass(frozen=True, slots=True)
class Owned:
    """A container's record that is certainly of this agent's making."""

    task_id: TaskId
    name: str
    record: ContainerRecord


def extensions(task: Task, name: str, progress: Progress) -> Mapping[str, bytes]:
    """What the record of container ``name`` carries."""
    kept = keepsake(task, name, progress)
    return {EXTENSION: _KEEPSAKE.dump_json(kept, by_alias=True, exclude_unset=True)}


def owned(records: Iterable[ContainerRecord], of: Names) -> Iterator[Owned]:
    """Those whose ids follow from the task and the container that their labels name.

    And that have something in this agent's run directory: another agent may share containerd.
    """
    ours = json.dumps(f"{of.run_dir}/")[1:-1].encode()
    for each in records:
        arn = each.labels.get(names.TASK_LABEL, "")
        name = each.labels.get(names.CONTAINER_LABEL, "")
        task_id = TaskId(arn.rpartition("/")[2])
        if name and each.id == names.container_id(task_id, name) and ours in each.spec:
            yield Owned(task_id, name, each)


def remembered(records: Iterable[Owned]) -> tuple[Task, Progress] | None:
    """The task that these are containers of, and the facts about it; None if none tells."""
    kept = [
        (each.record.created_at, found, each.record)
        for each in records
        if (found := _read(each)) is not None
    ]
    if not kept:
        return None
    best = newest([(at, found) for at, found, _ in kept])
    task = best.task
    if best.execution_role:  # nobody but the agent asks for them
        task = replace(task, execution_credentials_id=str(uuid.uuid4()))
    if best.task_role:
        task = _entitled(task, [record for _, _, record in kept])
    return task, best.progress


def bury(of: Names, task: Task, name: str, progress: Progress) -> None:
    """The facts about an ended container are in its task's directory, if that has room.

    Blocking.
    """
    facts, directory = progress.containers[name], of.task_dir(task.id) / _ENDED
    if not facts.ended or not directory.parent.exists():
        return
    with suppress(OSError):
        directory.mkdir(exist_ok=True, mode=0o700)
        part = directory / f".{name}"  # no container has such a name
        part.write_bytes(_FACTS.dump_json(facts))
        part.rename(directory / name)


def buried(of: Names, task_id: TaskId) -> Mapping[str, ContainerProgress]:
    """By container what was kept of those that are deleted. Blocking."""
    found = {}
    with suppress(OSError):
        for each in _files(of.task_dir(task_id) / _ENDED):
            with suppress(ValidationError):
                found[each.name] = _FACTS.validate_json(each.read_bytes())
    return found


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return [each for each in directory.iterdir() if not each.name.startswith(".")]


def _read(container: Owned) -> Keepsake | None:
    """Its keepsake, if it is really of this task and container."""
    try:
        found = _KEEPSAKE.validate_json(container.record.extensions.get(EXTENSION, b""))
    except ValidationError:
        return None
    ours = (found.task.id, found.container) == (container.task_id, container.name)
    return found if ours else None


def _entitled(task: Task, records: Iterable[ContainerRecord]) -> Task:
    """The task with the id of its role's credentials, which its containers were told."""
    for record in records:
        given = _environment(record)
        for uri in filter(None, map(given.get, _URIS)):
            token = given.get(_TOKEN, "")
            return replace(task, credentials_id=uri.rpartition("/")[2], credentials_token=token)
    return task


def _environment(record: ContainerRecord) -> Mapping[str, str]:
    try:
        pairs = json.loads(record.spec)["process"]["env"]
        return dict(each.partition("=")[::2] for each in pairs)
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
