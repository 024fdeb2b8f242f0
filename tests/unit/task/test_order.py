"""dependsOn as a table: each condition against each state that a dependency can be in."""

from __future__ import annotations

import pytest

from agent.task.model import ContainerProgress, Progress, Task, first_progress
from agent.task.order import Hopeless, NotYet, Ready, Verdict, may_start, may_stop
from agent.task.records import Health, HealthRecord
from tests.worlds import container, task

CHECK = {"command": ["CMD", "true"]}
STATES = {
    "waiting": ContainerProgress(),
    "created": ContainerProgress(created_at=1),
    "running": ContainerProgress(created_at=1, started_at=1),
    "healthy": ContainerProgress(
        created_at=1, started_at=1, health=HealthRecord(status=Health.HEALTHY)
    ),
    "unhealthy": ContainerProgress(
        created_at=1, started_at=1, health=HealthRecord(status=Health.UNHEALTHY)
    ),
    "exited 0": ContainerProgress(
        created_at=1, started_at=1, ended=True, finished_at=2, exit_code=0
    ),
    "exited 1": ContainerProgress(
        created_at=1, started_at=1, ended=True, finished_at=2, exit_code=1
    ),
    "vanished": ContainerProgress(created_at=1, started_at=1, ended=True, finished_at=2),
    "never started": ContainerProgress(ended=True, finished_at=2, reason="CannotPull: no"),
    "given up for its own dependency": ContainerProgress(ended=True, finished_at=2, exit_code=143),
}
TABLE = {
    # a dependency that is: (START, COMPLETE, SUCCESS, HEALTHY)
    "waiting": (NotYet, NotYet, NotYet, NotYet),
    "created": (NotYet, NotYet, NotYet, NotYet),
    "running": (Ready, NotYet, NotYet, NotYet),
    "healthy": (Ready, NotYet, NotYet, Ready),
    "unhealthy": (Ready, NotYet, NotYet, NotYet),
    "exited 0": (Ready, Ready, Ready, Hopeless),
    "exited 1": (Ready, Ready, Hopeless, Hopeless),
    "vanished": (Ready, Hopeless, Hopeless, Hopeless),
    "never started": (Hopeless, Hopeless, Hopeless, Hopeless),
    "given up for its own dependency": (Ready, Ready, Hopeless, Hopeless),
}
CONDITIONS = ("START", "COMPLETE", "SUCCESS", "HEALTHY")
CASES = [
    pytest.param(state, condition, verdict, id=f"{condition} of one {state}")
    for state, verdicts in TABLE.items()
    for condition, verdict in zip(CONDITIONS, verdicts, strict=True)
]


def pair(condition: str, start_timeout: int | None = None) -> Task:
    limit = {} if start_timeout is None else {"startTimeout": start_timeout}
    needs = [{"containerName": "db", "condition": condition}]
    return task(container("db", healthCheck=CHECK, **limit), container("web", dependsOn=needs))


def asked(made: Task, now: float = 3.0, **containers: ContainerProgress) -> Verdict:
    progress = first_progress(made)
    progress = Progress(containers={**progress.containers, **containers})
    return may_start(made, progress, "web", now)


@pytest.mark.parametrize(("state", "condition", "verdict"), CASES)
def test_a_condition_holds_not_yet_or_never(
    state: str, condition: str, verdict: type[Verdict]
) -> None:
    assert isinstance(asked(pair(condition), db=STATES[state]), verdict)


def test_a_container_without_dependencies_may_start() -> None:
    assert asked(task(container("web"))) == Ready()


def test_the_reason_names_the_dependency_and_what_became_of_it() -> None:
    assert asked(pair("SUCCESS"), db=STATES["exited 1"]) == Hopeless(
        "container db exited with 1, so it can't be SUCCESS"
    )
    assert asked(pair("SUCCESS"), db=STATES["never started"]) == Hopeless(
        "container db did not start (CannotPull: no), so it can't be SUCCESS"
    )


@pytest.mark.parametrize("condition", ["COMPLETE", "SUCCESS", "HEALTHY"])
def test_start_timeout_counts_from_the_start_of_the_dependency(condition: str) -> None:
    made, db = pair(condition, 10), ContainerProgress(created_at=4, started_at=5)
    waiting = asked(made, now=14.9, db=db)
    assert isinstance(waiting, NotYet)
    assert waiting.until == 15
    late = asked(made, now=15, db=db)
    assert isinstance(late, Hopeless)
    assert "within its startTimeout of 10s" in late.why


def test_start_timeout_does_not_count_before_the_dependency_runs() -> None:
    assert asked(pair("HEALTHY", 10), now=1e6) == NotYet("waiting for db to be HEALTHY")


def test_start_never_times_out() -> None:
    db = ContainerProgress(created_at=4, started_at=5)
    assert asked(pair("START", 10), now=1e6, db=db) == Ready()


def test_a_condition_that_held_too_late_is_hopeless_until_the_dependent_is_created() -> None:
    made, db = pair("HEALTHY", 10), STATES["healthy"]
    assert isinstance(asked(made, now=11.1, db=db), Hopeless)
    created = ContainerProgress(created_at=8)
    assert asked(made, now=11.1, db=db, web=created) == Ready()


def test_a_limit_that_is_over_for_a_created_dependent_is_not_waited_for() -> None:
    made, created = pair("HEALTHY", 10), ContainerProgress(created_at=8)
    unhealthy = asked(made, now=11.1, db=STATES["running"], web=created)
    assert unhealthy == NotYet("waiting for db to be HEALTHY", until=None)


def test_start_timeout_is_over_once_the_dependency_has_ended() -> None:
    assert asked(pair("SUCCESS", 10), now=1e6, db=STATES["exited 0"]) == Ready()


def test_a_hopeless_dependency_is_found_behind_one_that_is_not_ready() -> None:
    needs = [
        {"containerName": "db", "condition": "START"},
        {"containerName": "init", "condition": "SUCCESS"},
    ]
    made = task(container("db"), container("init"), container("web", dependsOn=needs))
    assert isinstance(asked(made, init=STATES["exited 1"]), Hopeless)


def test_the_earliest_limit_of_several_is_waited_for() -> None:
    needs = [
        {"containerName": "db", "condition": "HEALTHY"},
        {"containerName": "cache", "condition": "HEALTHY"},
    ]
    made = task(
        container("db", healthCheck=CHECK, startTimeout=20),
        container("cache", healthCheck=CHECK, startTimeout=10),
        container("web", dependsOn=needs),
    )
    verdict = asked(made, db=STATES["running"], cache=STATES["running"])
    assert isinstance(verdict, NotYet)
    assert verdict.until == 11


def test_a_container_is_stopped_after_everything_that_depends_on_it() -> None:
    made = pair("START")
    progress = first_progress(made)
    assert not may_stop(made, progress, "db")
    assert may_stop(made, progress, "web")
    assert may_stop(made, progress.having("web", ended=True), "db")


def test_volumes_are_taken_over_from_a_container_that_exists() -> None:
    one = task(container("data"), container("web", volumesFrom=[{"sourceContainer": "data"}]))
    first = first_progress(one)
    assert isinstance(may_start(one, first, "web", 0.0), NotYet)
    assert may_start(one, first.having("data", created_at=0.0), "web", 0.0) == Ready()
