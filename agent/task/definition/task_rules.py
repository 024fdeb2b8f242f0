"""The limits that ECS sets across the containers of a task.

Paths are those of the whole definition. ``container_rules`` has what can be said of a container
alone, ``order_rules`` what names another container. Each function yields every problem it finds.
"""

from collections.abc import Iterator

from agent.task.definition.container import ContainerDefinition, PortMapping
from agent.task.definition.container_rules import NAME, NAME_CURE
from agent.task.definition.linux_rules import is_ipc_control, is_network_control
from agent.task.definition.order_rules import order_problems
from agent.task.definition.problems import Problem
from agent.task.definition.task import TaskDefinition
from agent.task.definition.volume_rules import volume_problems

_MIN_CPU, _MAX_CPU = 128, 196608

MOST_CONTAINERS = 100
"""ECS has ten; far more would keep the agent from all other work."""


def task_problems(task: TaskDefinition) -> Iterator[Problem]:
    """Everything wrong with a definition beyond its single containers."""
    if not NAME.fullmatch(task.family):
        yield Problem("family", NAME_CURE)
    yield from _containers(task)
    if len(task.container_definitions) > MOST_CONTAINERS:
        return
    yield from _sizes(task)
    yield from volume_problems(task)
    for index, container in enumerate(task.container_definitions):
        for problem in _in_network(container, task.network_mode):
            yield problem.under(f"containerDefinitions[{index}]")
    yield from _host_ports(task)
    yield from _system_controls(task)
    yield from order_problems(task)


def _containers(task: TaskDefinition) -> Iterator[Problem]:
    if not task.container_definitions:
        yield Problem("containerDefinitions", "must hold at least one container")
        return
    if len(task.container_definitions) > MOST_CONTAINERS:
        yield Problem("containerDefinitions", f"must hold at most {MOST_CONTAINERS} containers")
    if not any(container.essential for container in task.container_definitions):
        yield Problem(
            "containerDefinitions",
            "must hold at least one essential container: remove essential: false from one",
        )
    seen: set[str] = set()
    for index, container in enumerate(task.container_definitions):
        if container.name in seen:
            yield Problem(
                f"containerDefinitions[{index}].name",
                f"{container.name} is used twice: give each container its own name",
            )
        seen.add(container.name)


def _sizes(task: TaskDefinition) -> Iterator[Problem]:
    if task.cpu is not None and not _MIN_CPU <= task.cpu <= _MAX_CPU:
        yield Problem("cpu", f"must be {_MIN_CPU} to {_MAX_CPU} units (1024 units are one vCPU)")
    if task.memory is not None and task.memory < 6:
        yield Problem("memory", "must be at least 6 MiB")
    for index, container in enumerate(task.container_definitions):
        path = f"containerDefinitions[{index}].memory"
        if task.memory is None and (container.memory or container.memory_reservation) is None:
            yield Problem(
                path, "needs a size: give memory or memoryReservation here, or memory for the task"
            )
        for field, size in (
            (path, container.memory),
            (f"{path}Reservation", container.memory_reservation),
        ):
            if task.memory is not None and (size or 0) > task.memory:
                yield Problem(field, f"is {size} MiB, above the {task.memory} MiB of the task")


def _in_network(container: ContainerDefinition, mode: str) -> Iterator[Problem]:
    if mode == "none" and container.port_mappings:
        yield Problem("portMappings", "must be empty in network mode none")
    if mode != "bridge" and container.links:
        yield Problem("links", "are only for network mode bridge: use the task's own addresses")
    if container.disable_networking:
        yield from _without_network(container, mode)
    if mode == "awsvpc":
        for field, value in (
            ("hostname", container.hostname),
            ("dnsServers", container.dns_servers),
            ("dnsSearchDomains", container.dns_search_domains),
            ("extraHosts", container.extra_hosts),
        ):
            if value:
                yield Problem(field, "is not for network mode awsvpc: the task's interface sets it")
    for index, mapping in enumerate(container.port_mappings):
        for problem in _mapping_in_network(mapping, mode):
            yield problem.under(f"portMappings[{index}]")


def _without_network(container: ContainerDefinition, mode: str) -> Iterator[Problem]:
    if mode in ("host", "awsvpc"):
        yield Problem(
            "disableNetworking", f"is not for network mode {mode}: the network is not its own"
        )
    for field, value in (("portMappings", container.port_mappings), ("links", container.links)):
        if value:
            yield Problem(field, "must be empty with disableNetworking: there is no network")


def _mapping_in_network(mapping: PortMapping, mode: str) -> Iterator[Problem]:
    if mode in ("host", "awsvpc") and mapping.host_port not in (None, mapping.container_port):
        yield Problem(
            "hostPort", f"must be absent or equal to containerPort in network mode {mode}"
        )
    if mode == "host" and mapping.container_port_range is not None:
        yield Problem("containerPortRange", "is only for network modes bridge and awsvpc")


def _host_ports(task: TaskDefinition) -> Iterator[Problem]:
    """A fixed port of the host can be published only once."""
    taken: dict[tuple[str, int], str] = {}
    if task.network_mode != "bridge":
        return
    for index, container in enumerate(task.container_definitions):
        for place, mapping in enumerate(container.port_mappings):
            path = f"containerDefinitions[{index}].portMappings[{place}].hostPort"
            port = mapping.host_port
            if port and taken.setdefault((mapping.protocol, port), path) != path:
                holder = taken[mapping.protocol, port]
                yield Problem(path, f"{port}/{mapping.protocol} is taken by {holder}: use another")


def _system_controls(task: TaskDefinition) -> Iterator[Problem]:
    for index, container in enumerate(task.container_definitions):
        for place, control in enumerate(container.system_controls):
            path = f"containerDefinitions[{index}].systemControls[{place}].namespace"
            if task.network_mode == "host" and is_network_control(control.namespace):
                yield Problem(path, "is not for network mode host: it would change the host")
            if task.ipc_mode == "host" and is_ipc_control(control.namespace):
                yield Problem(path, "is not for ipcMode host: it would change the host")
