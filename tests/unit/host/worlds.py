"""Tasks in other network modes and with volumes, and names below a test's own directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.task.definition import ContainerDefinition, TaskDefinition
from agent.task.model import Task
from agent.task.names import Names
from tests import worlds


def task(*containers: ContainerDefinition, **fields: object) -> Task:
    """A task whose definition has ``fields`` under their ECS names."""
    made = worlds.task(*containers)
    whole = {"family": "test", "containerDefinitions": [], **fields}
    definition = TaskDefinition.model_validate(whole)
    return replace(
        made, definition=definition.model_copy(update={"container_definitions": containers})
    )


def names_below(folder: Path) -> Names:
    """Names on a host whose directories are in ``folder``."""
    return Names(folder / "run", folder / "state", "/test", "tv")
