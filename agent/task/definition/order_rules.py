"""The rules on fields that name another container of the task: dependsOn, links and the like.

Used by ``task_rules``. A dependency that can't be resolved is found here, before anything runs
(ECS refuses it with a ``TaskDependencyError``).
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from agent.task.definition.container import ContainerDefinition, Dependency
from agent.task.definition.container_rules import NAME, NAME_CURE
from agent.task.definition.dependencies import needs
from agent.task.definition.problems import Problem, close_to
from agent.task.definition.task import TaskDefinition


def order_problems(task: TaskDefinition) -> Iterator[Problem]:
    """Unknown containers, conditions that can't hold, and circles."""
    known = {container.name: container for container in task.container_definitions}
    for index, container in enumerate(task.container_definitions):
        for problem in _references(container, known):
            yield problem.under(f"containerDefinitions[{index}]")
        for problem in _links(container, known):
            yield problem.under(f"containerDefinitions[{index}]")
        for place, dependency in enumerate(container.depends_on):
            for problem in _condition(dependency, known.get(dependency.container_name)):
                yield problem.under(f"containerDefinitions[{index}].dependsOn[{place}]")
    proxy = task.proxy_configuration
    if proxy and proxy.container_name not in known:
        yield _unknown("proxyConfiguration.containerName", proxy.container_name, known)
    if proxy and task.network_mode != "awsvpc":
        yield Problem("proxyConfiguration", "is only for network mode awsvpc")
    yield from _circle(task)


def _references(
    container: ContainerDefinition, known: dict[str, ContainerDefinition]
) -> Iterator[Problem]:
    named = [
        (f"dependsOn[{place}].containerName", each.container_name)
        for place, each in enumerate(container.depends_on)
    ]
    named += [(f"links[{place}]", each.split(":")[0]) for place, each in enumerate(container.links)]
    named += [
        (f"volumesFrom[{place}].sourceContainer", each.source_container)
        for place, each in enumerate(container.volumes_from)
    ]
    for path, name in named:
        if name not in known:
            yield _unknown(path, name, known)


def _links(
    container: ContainerDefinition, known: dict[str, ContainerDefinition]
) -> Iterator[Problem]:
    """What a link is called must be a name of its own, and it must lead somewhere."""
    seen: set[str] = set()
    for place, link in enumerate(container.links):
        name, colon, alias = link.partition(":")
        if colon and not NAME.fullmatch(alias):
            yield Problem(f"links[{place}]", f"must be NAME or NAME:ALIAS; the alias {NAME_CURE}")
        if (alias or name) in seen:
            yield Problem(f"links[{place}]", f"{alias or name} is linked twice: use another alias")
        seen.add(alias or name)
        target = known.get(name)
        if target and target.disable_networking:
            yield Problem(f"links[{place}]", f"container {name} has no network to link to")


def _unknown(path: str, name: str, known: dict[str, ContainerDefinition]) -> Problem:
    close = close_to(name, known)
    cure = f"did you mean {close}?" if close else "name one of this task"
    return Problem(path, f"no container is called {name}: {cure}")


def _condition(dependency: Dependency, target: ContainerDefinition | None) -> Iterator[Problem]:
    if target is None:
        return
    if dependency.condition == "HEALTHY" and target.health_check is None:
        yield Problem("condition", f"HEALTHY needs a healthCheck on container {target.name}")
    if dependency.condition in ("COMPLETE", "SUCCESS") and target.essential:
        yield Problem(
            "condition",
            f"{dependency.condition} waits for container {target.name} to end, but it is essential "
            "and its end stops the task: set essential: false on it",
        )


def _circle(task: TaskDefinition) -> Iterator[Problem]:
    graph: dict[str, set[str]] = {}
    for container in task.container_definitions:
        graph.setdefault(container.name, set()).update(each.target for each in needs(container))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        yield Problem("containerDefinitions", f"containers wait for each other: {circle}")
