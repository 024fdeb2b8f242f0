"""The limits for a container's variables: ``environment``, ``secrets``, ``environmentFiles``.

Paths are relative to the container. Each function yields every problem it finds and never raises.
"""

from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition
from agent.task.definition.env_file import env_file
from agent.task.definition.problems import Problem
from agent.task.definition.value_from import value_from

MOST_FILES = 10


def variable_problems(container: ContainerDefinition) -> Iterator[Problem]:
    """Everything wrong with the variables of one container."""
    for index, variable in enumerate(container.environment):
        yield from _name(f"environment[{index}].name", variable.name)
    yield from _secrets(container)
    if len(container.environment_files) > MOST_FILES:
        yield Problem("environmentFiles", f"must hold at most {MOST_FILES} files")
    for index, file in enumerate(container.environment_files):
        try:
            env_file(file.value)
        except ValueError as error:
            yield Problem(f"environmentFiles[{index}].value", str(error))


def _secrets(container: ContainerDefinition) -> Iterator[Problem]:
    taken = {each.name: "environment has it too" for each in container.environment}
    for index, secret in enumerate(container.secrets):
        path = f"secrets[{index}]"
        yield from _name(f"{path}.name", secret.name)
        if secret.name in taken:
            yield Problem(f"{path}.name", f"must be the only {secret.name}: {taken[secret.name]}")
        taken.setdefault(secret.name, "another secret has the same name")
        try:
            value_from(secret.value_from)
        except ValueError as error:
            yield Problem(f"{path}.valueFrom", str(error))


def _name(path: str, name: str) -> Iterator[Problem]:
    if not name or "=" in name:
        yield Problem(path, "must not be empty nor contain =")
