"""What a task's definition and the settings make of its limits."""

from __future__ import annotations

import pytest

from agent.task import limits
from agent.task.definition import TaskDefinition
from agent.task.limits import MAX_SHARES, MIN_SHARES, LimitRules, TaskLimits

MIB = 2**20
RULES = LimitRules()


def definition(*cpus: int, **fields: object) -> TaskDefinition:
    containers = [
        {"name": f"c{index}", "image": "i", "memory": 8, "cpu": cpu}
        for index, cpu in enumerate(cpus)
    ]
    whole = {"family": "test", "containerDefinitions": containers, **fields}
    return TaskDefinition.model_validate(whole)


def test_cpu_and_memory_of_a_task_are_hard_limits() -> None:
    found = limits.of_task(definition(64, cpu="512", memory="128"), RULES)
    assert found == TaskLimits(quota_us=50_000, memory=128 * MIB)


@pytest.mark.parametrize(("period_us", "quota_us"), [(8_000, 1_000), (100_000, 12_500)])
def test_the_quota_is_of_the_period(period_us: int, quota_us: int) -> None:
    found = limits.of_task(definition(0, cpu="128"), LimitRules(period_us=period_us))
    assert (found.period_us, found.quota_us) == (period_us, quota_us)


@pytest.mark.parametrize(
    ("cpus", "shares"),
    [((0,), MIN_SHARES), ((0, 1, 100), 104), ((200_000, 200_000), MAX_SHARES)],
)
def test_a_task_without_cpu_weighs_as_much_as_its_containers(
    cpus: tuple[int, ...], shares: int
) -> None:
    assert limits.of_task(definition(*cpus), RULES) == TaskLimits(shares=shares)


def test_the_number_of_processes_is_the_hosts_rule() -> None:
    assert limits.of_task(definition(0), LimitRules(pids=99)).pids == 99


def test_containers_are_given_the_quota_and_the_memory_and_nothing_else() -> None:
    whole = definition(64, cpu="512", memory="128")
    assert limits.of_container(whole, LimitRules(pids=9)) == TaskLimits(
        quota_us=50_000, memory=128 * MIB
    )
    assert limits.of_container(definition(64), RULES) == TaskLimits()


@pytest.mark.parametrize("rules", [LimitRules(enabled=False), LimitRules(shown=False)])
def test_containers_are_given_nothing_where_that_is_switched_off(rules: LimitRules) -> None:
    assert limits.of_container(definition(64, cpu="512"), rules) == TaskLimits()


def test_without_limits_nothing_is_set() -> None:
    off = LimitRules(enabled=False, pids=9)
    assert limits.of_task(definition(64, cpu="512", memory="128"), off) == TaskLimits()
