"""What a turn of the plan costs for a task of ten containers: with nothing to do, and starting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from agent.task import names
from agent.task.definition import TaskDefinition, read_task_definition
from agent.task.model import (
    ContainerIdentity,
    Image,
    Intent,
    Progress,
    Task,
    TaskId,
    first_progress,
)
from agent.task.network import Attachment
from agent.task.plan import plan
from agent.task.stopping import Rules
from agent.task.view import Absent, ContainerSeen, NetworkSeen, Running, Seen, View

CONTAINERS = 10
ROUNDS = 500
AT = 10.0


def plan10_us() -> float:
    """Microseconds of processor time, the median, for a task that runs and needs nothing."""
    task = _task()
    progress = _running(task)
    view = _view(task, Seen(ContainerSeen(Running.RUNNING, pid=1)))
    # The first turn learns that all of it runs.
    settled = plan(Intent(task), progress, view, (), AT, Rules()).progress
    return _median_us(lambda: plan(Intent(task), settled, view, (), AT, Rules()))


def plan10_starting_us() -> float:
    """The same for a task of which nothing is there yet; the first containers are begun."""
    task = _task()
    fresh, view = first_progress(task), _view(task, None)
    return _median_us(lambda: plan(Intent(task), fresh, view, (), AT, Rules()))


def _median_us(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        work()
        times.append(time.thread_time_ns() - began)
    return statistics.median(times) / 1000


def _task() -> Task:
    """Each container depends on the two before it, every other one has a health check."""
    definition = _definition()
    task_id = TaskId("1" * 32)
    cluster = names.cluster_arn("xx-test-1", "111122223333", "bench")
    return Task(
        id=task_id,
        arn=names.task_arn(cluster, task_id),
        cluster_arn=cluster,
        definition=definition,
        definition_arn=names.definition_arn("xx-test-1", "111122223333", "bench", 1),
        revision=1,
        containers=tuple(
            ContainerIdentity(each.name, each.name, each.name)
            for each in definition.container_definitions
        ),
        accepted_at=0.0,
        group="family:bench",
    )


def _definition() -> TaskDefinition:
    containers = [
        {
            "name": f"c{number}",
            "image": "hostler/hello",
            "memory": 64,
            "dependsOn": [
                {"containerName": f"c{before}", "condition": "START"}
                for before in range(max(0, number - 2), number)
            ],
            **({"healthCheck": {"command": ["CMD", "true"]}} if number % 2 else {}),
        }
        for number in range(CONTAINERS)
    ]
    body = {"family": "bench", "containerDefinitions": containers}
    return read_task_definition(body).definition


def _running(task: Task) -> Progress:
    progress = first_progress(task)
    for each in task.containers:
        attachment = Attachment(mode="bridge", ipv4="10.0.0.2")
        progress = progress.having_network(each.name, attachment=attachment)
        image = Image("hostler/hello", "sha256:1", "sha256:2")
        progress = progress.having(each.name, image=image, created_at=0.0, started_at=0.0)
    return replace(progress, started_at=0.0)


def _view(task: Task, look: Seen[ContainerSeen] | None) -> View:
    each = Absent() if look is None else look
    network = Absent() if look is None else Seen(NetworkSeen(served=True))
    return View(
        task=Absent() if look is None else Seen(None),
        networks=dict.fromkeys(task.sandboxes, network),
        containers={container.name: each for container in task.containers},
    )
