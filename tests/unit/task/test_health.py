"""Health checks: what a series of probes makes of a container, and when the next is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.task.actions import Probed
from agent.task.definition import HealthCheck
from agent.task.health import OUTPUT_LIMIT, START_INTERVAL_S, after_probe, next_probe_at
from agent.task.records import Health, HealthRecord

CHECK = HealthCheck(command=("CMD", "true"), interval=10, retries=3, start_period=0)
GRACE = HealthCheck(command=("CMD", "true"), interval=10, retries=1, start_period=60)
PASSED, FAILED = Probed(0, "fine"), Probed(7, "down")


def probed(check: HealthCheck, *outcomes: tuple[float, Probed]) -> HealthRecord:
    """The record of a container that was started at 0 and probed at these times."""
    record = HealthRecord()
    for at, outcome in outcomes:
        record = after_probe(check, record, outcome, 0.0, at)
    return record


def test_one_success_makes_healthy() -> None:
    record = probed(CHECK, (10, PASSED))
    assert (record.status, record.since, record.output) == (Health.HEALTHY, 10, "fine")


def test_failures_in_a_row_make_unhealthy_at_the_last_retry() -> None:
    before = probed(CHECK, (10, FAILED), (20, FAILED))
    assert (before.status, before.exit_code) == (Health.UNKNOWN, None)
    after = probed(CHECK, (10, FAILED), (20, FAILED), (30, FAILED))
    assert (after.status, after.since, after.exit_code) == (Health.UNHEALTHY, 30, 7)


def test_a_success_breaks_the_row() -> None:
    record = probed(CHECK, (10, FAILED), (20, FAILED), (30, PASSED), (40, FAILED), (50, FAILED))
    assert (record.status, record.since, record.exit_code) == (Health.HEALTHY, 30, None)


def test_since_stays_while_the_status_does() -> None:
    assert probed(CHECK, (10, PASSED), (20, PASSED), (30, PASSED)).since == 10


def test_the_exit_code_stays_after_a_recovery() -> None:
    record = probed(GRACE, (70, FAILED), (80, PASSED))
    assert (record.status, record.since, record.exit_code) == (Health.HEALTHY, 80, 7)


def test_failures_in_the_start_period_do_not_count() -> None:
    assert probed(GRACE, (10, FAILED), (59, FAILED)).status is Health.UNKNOWN
    assert probed(GRACE, (10, FAILED), (60, FAILED)).status is Health.UNHEALTHY


def test_a_success_ends_the_start_period() -> None:
    assert probed(GRACE, (10, PASSED), (20, FAILED)).status is Health.UNHEALTHY


def test_the_beginning_of_a_long_output_is_kept() -> None:
    said = Probed(1, "x" + "y" * 2 * OUTPUT_LIMIT)
    output = probed(CHECK, (1, said)).output
    assert output[0] == "x"
    assert len(output) == OUTPUT_LIMIT


def test_the_first_probe_is_due_one_interval_after_the_start() -> None:
    assert next_probe_at(CHECK, HealthRecord(), 100.0) == 110.0


def test_probes_follow_each_other_at_the_interval() -> None:
    assert next_probe_at(CHECK, HealthRecord(probed_at=123.0), 100.0) == 133.0


def test_probes_come_every_second_in_the_start_period() -> None:
    assert next_probe_at(GRACE, HealthRecord(), 100.0) == 100.0 + START_INTERVAL_S
    assert next_probe_at(GRACE, HealthRecord(probed_at=140.0), 100.0) == 140.0 + START_INTERVAL_S
    assert next_probe_at(GRACE, HealthRecord(probed_at=160.0), 100.0) == 170.0


def test_a_healthy_container_is_probed_at_the_interval_even_in_the_start_period() -> None:
    record = HealthRecord(status=Health.HEALTHY, probed_at=105.0)
    assert next_probe_at(GRACE, record, 100.0) == 115.0


outcomes = st.lists(st.sampled_from([PASSED, FAILED]), max_size=30)


@given(outcomes=outcomes, retries=st.integers(1, 10))
def test_the_status_follows_from_the_last_outcomes(outcomes: list[Probed], retries: int) -> None:
    check = CHECK.model_copy(update={"retries": retries})
    record = probed(check, *((float(at), each) for at, each in enumerate(outcomes)))
    failures = next((n for n, each in enumerate(reversed(outcomes)) if each is PASSED), None)
    if outcomes and outcomes[-1] is PASSED:
        assert record.status is Health.HEALTHY
    if record.status is Health.UNHEALTHY:
        assert (len(outcomes) if failures is None else failures) >= retries
    if (len(outcomes) if failures is None else failures) >= retries:
        assert record.status is Health.UNHEALTHY
