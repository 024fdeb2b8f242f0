"""RunTask ``overrides``: what a definition becomes for one run.

Environment variables are merged by name, everything else is replaced (ECS ``ContainerOverride`` and
``TaskOverride``).
"""

from collections.abc import Collection, Iterator
from typing import Any

from agent.task.definition.container import (
    ContainerDefinition,
    EnvironmentFile,
    KeyValuePair,
    ResourceRequirement,
)
from agent.task.definition.problems import DefinitionError, Problem, close_to, the_first
from agent.task.definition.reading import definition_problems, validated
from agent.task.definition.shape import Shape, Text, Texts, Whole
from agent.task.definition.support import EPHEMERAL_STORAGE
from agent.task.definition.task import (
    CpuUnits,
    EphemeralStorage,
    InferenceAccelerator,
    MemoryMiB,
    TaskDefinition,
)


class ContainerOverride(Shape):
    """New values for one container; None leaves what the definition says."""

    name: Text
    command: Texts | None = None
    environment: tuple[KeyValuePair, ...] = ()
    environment_files: tuple[EnvironmentFile, ...] | None = None
    cpu: Whole | None = None
    memory: Whole | None = None
    memory_reservation: Whole | None = None
    resource_requirements: tuple[ResourceRequirement, ...] | None = None


class TaskOverride(Shape):
    """New values for a task and its containers."""

    container_overrides: tuple[ContainerOverride, ...] = ()
    cpu: CpuUnits | None = None
    memory: MemoryMiB | None = None
    task_role_arn: Text | None = None
    execution_role_arn: Text | None = None
    ephemeral_storage: EphemeralStorage | None = None
    inference_accelerator_overrides: tuple[InferenceAccelerator, ...] = ()


def apply_overrides(definition: TaskDefinition, overrides: object) -> TaskDefinition:
    """The definition with RunTask overrides (decoded JSON of the API) in effect.

    Raises ``DefinitionError`` for an unknown container or field, and when the result breaks a
    limit; paths are then those of the definition.
    """
    wanted = validated(TaskOverride, overrides)
    if wanted.ephemeral_storage:
        raise DefinitionError([EPHEMERAL_STORAGE])
    names = {container.name: None for container in definition.container_definitions}
    unknown = tuple(the_first(_unknown_containers(wanted, names)))
    if unknown:
        raise DefinitionError(unknown)
    containers = {container.name: container for container in definition.container_definitions}
    for each in wanted.container_overrides:
        containers[each.name] = _overridden(containers[each.name], each)
    changes = _given(wanted, without={"container_overrides", "inference_accelerator_overrides"})
    if wanted.inference_accelerator_overrides:
        changes["inference_accelerators"] = wanted.inference_accelerator_overrides
    if wanted.container_overrides:
        changes["container_definitions"] = tuple(containers.values())
    changed = definition.model_copy(update=changes)
    problems = tuple(the_first(definition_problems(changed)))
    if problems:
        raise DefinitionError(problems)
    return changed


def _overridden(container: ContainerDefinition, override: ContainerOverride) -> ContainerDefinition:
    changes = _given(override, without={"name", "environment"})
    if override.environment:
        merged = {each.name: each for each in (*container.environment, *override.environment)}
        changes["environment"] = tuple(merged.values())
    return container.model_copy(update=changes)


def _given(override: Shape, without: set[str]) -> dict[str, Any]:
    return {name: getattr(override, name) for name in override.model_fields_set - without}


def _unknown_containers(wanted: TaskOverride, names: Collection[str]) -> Iterator[Problem]:
    for index, each in enumerate(wanted.container_overrides):
        if each.name not in names:
            yield _unknown(index, each.name, names)


def _unknown(index: int, name: str, names: Collection[str]) -> Problem:
    close = close_to(name, names)
    cure = f"did you mean {close}?" if close else f"it has {', '.join(names)}"
    return Problem(
        f"containerOverrides[{index}].name", f"the task has no container called {name}: {cure}"
    )
