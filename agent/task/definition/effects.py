"""What a definition asks for that makes no difference here: told as warnings when it is registered.

The definition is as good as without it, for ECS too, so it is no reason to refuse it.
"""

from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition, LinuxParameters
from agent.task.definition.problems import Problem
from agent.task.definition.task import TaskDefinition


def without_effect(definition: TaskDefinition) -> tuple[Problem, ...]:
    """Everything that has no effect, by JSON path."""
    return tuple(
        problem.under(f"containerDefinitions[{index}].linuxParameters")
        for index, container in enumerate(definition.container_definitions)
        for problem in _of_container(container, definition)
    )


def _of_container(container: ContainerDefinition, task: TaskDefinition) -> Iterator[Problem]:
    parameters = container.linux_parameters
    if parameters.swappiness is not None and parameters.max_swap is None:
        yield Problem("swappiness", "has no effect without maxSwap")
    if parameters.shared_memory_size is not None and task.ipc_mode in ("host", "none"):
        yield Problem("sharedMemorySize", f"has no effect with ipcMode {task.ipc_mode}")
    if parameters.init_process_enabled and task.pid_mode is not None:
        yield Problem(
            "initProcessEnabled",
            f"has no effect with pidMode {task.pid_mode}: there is an init already",
        )
    if container.privileged:
        yield from _beside_privileged(parameters)


def _beside_privileged(parameters: LinuxParameters) -> Iterator[Problem]:
    """So it is with Docker: all capabilities are given, and all access to all devices."""
    capabilities = parameters.capabilities
    if capabilities.add or capabilities.drop:
        yield Problem("capabilities", "has no effect with privileged: there are all capabilities")
    for index, device in enumerate(parameters.devices):
        if device.permissions:
            message = "has no effect with privileged: all access to all devices is allowed"
            yield Problem(f"devices[{index}].permissions", message)
