"""Which of the host's named runtimes a container asks for, by its own label or its task's tag.

The label ``hostler.runtime`` of a container (``dockerLabels``) beats the tag ``hostler:runtime`` of
its task; RunTask's tag beats that of the task definition. What the names mean is the host's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.task.definition import TaskDefinition
from agent.task.names import RUNTIME_LABEL

RUNTIME_TAG = "hostler:runtime"


def asked(definition: TaskDefinition, tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The name that each container asks for; "" is the host's default. ``tags`` are RunTask's."""
    of_definition = {each.key: each.value for each in definition.tags}
    given = {each["key"]: each["value"] for each in tags}
    whole = {**of_definition, **given}.get(RUNTIME_TAG, "")
    return {
        each.name: each.docker_labels.get(RUNTIME_LABEL) or whole
        for each in definition.container_definitions
    }
