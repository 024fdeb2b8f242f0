"""What people are told of a task in each of its states, in both vocabularies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.task import status
from agent.task.model import (
    ContainerProgress,
    Intent,
    Progress,
    Stop,
    StopCode,
    StopRequest,
    first_progress,
)
from agent.task.records import Health, HealthRecord
from tests.worlds import ENI, IMAGE, IN_AWSVPC, container, running, task

NONE = ContainerProgress()
PULLED = ContainerProgress(image=IMAGE)
CREATED = ContainerProgress(image=IMAGE, created_at=1)
RUNNING = ContainerProgress(image=IMAGE, created_at=1, started_at=2)
EXITED = ContainerProgress(image=IMAGE, created_at=1, started_at=2, ended=True, finished_at=3)
CHECK = {"command": ["CMD", "true"]}


def progress(*containers: ContainerProgress, started_at: float | None = None) -> Progress:
    return Progress(dict(zip("abc", containers, strict=False)), started_at=started_at)


@pytest.mark.parametrize(
    ("facts", "known", "last"),
    [
        (NONE, "NONE", "PENDING"),
        (PULLED, "PULLED", "PENDING"),
        (CREATED, "CREATED", "PENDING"),
        (RUNNING, "RUNNING", "RUNNING"),
        (EXITED, "STOPPED", "STOPPED"),
        (ContainerProgress(ended=True), "STOPPED", "STOPPED"),
    ],
)
def test_a_containers_status_is_how_far_it_came(
    facts: ContainerProgress, known: str, last: str
) -> None:
    assert status.container_known(facts) == known
    assert status.container_last(facts) == last


@pytest.mark.parametrize(
    ("containers", "known"),
    [
        ((NONE, RUNNING), "NONE"),
        ((PULLED, RUNNING), "MANIFEST_PULLED"),
        ((CREATED, RUNNING), "CREATED"),
        ((RUNNING, RUNNING), "RUNNING"),
        ((RUNNING, EXITED), "RUNNING"),
        ((EXITED, EXITED), "STOPPED"),
    ],
)
def test_a_tasks_known_status_is_that_of_its_least_container(
    containers: tuple[ContainerProgress, ...], known: str
) -> None:
    assert status.task_known(progress(*containers, started_at=2.0)) == known


def test_a_task_is_not_called_running_on_its_way_down() -> None:
    assert status.task_known(progress(RUNNING, EXITED)) == "CREATED"


def test_the_life_of_a_task_in_the_words_of_the_api() -> None:
    made = task(container("a"))
    intent, asked = Intent(made), Intent(made, StopRequest(3.0, "asked"))
    fresh = first_progress(made)
    up = running(intent)
    down = replace(up, stop=Stop(StopCode.ESSENTIAL_EXITED, "x", 3.0))
    over = down.having("a", ended=True)
    assert status.task_last(intent, fresh) == "PENDING"
    assert status.task_last(intent, up) == "RUNNING"
    assert status.task_last(asked, up) == "STOPPING"
    assert status.task_last(intent, down) == "STOPPING"
    assert status.task_last(intent, over) == "STOPPED"
    wanted = [status.desired(intent, up), status.desired(asked, up), status.desired(intent, down)]
    assert wanted == ["RUNNING", "STOPPED", "STOPPED"]


U, H, X = Health.UNKNOWN, Health.HEALTHY, Health.UNHEALTHY


@pytest.mark.parametrize(
    ("a", "b", "whole"),
    [(U, U, U), (H, U, U), (H, H, H), (X, U, X), (H, X, X), (U, X, X)],
)
def test_a_tasks_health_is_the_worst_of_its_essential_checked_containers(
    a: Health, b: Health, whole: Health
) -> None:
    made = task(
        container("a", healthCheck=CHECK),
        container("b", healthCheck=CHECK),
        container("aside", healthCheck=CHECK, essential=False),
        container("unchecked"),
    )
    facts = first_progress(made)
    for name, health in (("a", a), ("b", b), ("aside", X)):
        facts = facts.having(name, health=HealthRecord(status=health))
    assert status.task_health(made, facts) is whole


def test_a_task_without_checks_has_unknown_health() -> None:
    made = task(container("a"))
    assert status.task_health(made, first_progress(made)) is U


def test_the_attachment_of_an_interface_goes_through_ecss_states() -> None:
    made = task(container("a"), mode="awsvpc")
    fresh = first_progress(made)
    acquired = replace(fresh, interface=ENI, interface_at=1.0)
    attached = acquired.having_network("", attachment=IN_AWSVPC)
    over = attached.having("a", ended=True)
    steps = (fresh, acquired, attached, over, replace(over, closed_at=9.0))
    assert [status.interface(each) for each in steps] == [
        "PRECREATED",
        "ATTACHING",
        "ATTACHED",
        "DETACHING",
        "DELETED",
    ]
