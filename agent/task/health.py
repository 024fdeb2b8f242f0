"""Health checks: when to probe, and what a probe's outcome makes of a container's health.

The rules are Docker's, which ECS relies on (``healthCheck``: interval, timeout, retries,
startPeriod). One is Hostler's: during the start period a container is probed every second, as
Docker's newer ``start-interval`` allows, so that what depends on HEALTHY starts sooner.
"""

from __future__ import annotations

from dataclasses import replace

from agent.task.actions import Probed
from agent.task.definition import HealthCheck
from agent.task.records import Health, HealthRecord

START_INTERVAL_S = 1.0
OUTPUT_LIMIT = 1024
"""Characters of the last output that ECS shows."""


def next_probe_at(check: HealthCheck, record: HealthRecord, started_at: float) -> float:
    """When the next probe is due, in epoch seconds."""
    last = started_at if record.probed_at is None else record.probed_at
    starting = _starting(check, record, last, started_at)
    return last + (START_INTERVAL_S if starting else check.interval)


def after_probe(
    check: HealthCheck, record: HealthRecord, probed: Probed, started_at: float, now: float
) -> HealthRecord:
    """The record after a probe that ended at ``now``.

    A failure in the start period of a container that was never healthy does not count. ``since``
    changes only with the status; ``exit_code`` is set while unhealthy and stays after a recovery.
    """
    output = probed.output[:OUTPUT_LIMIT]
    record = replace(record, probed_at=now, output=output)
    if probed.exit_code == 0:
        return _turned(replace(record, streak=0), Health.HEALTHY, now)
    if _starting(check, record, now, started_at):
        return record
    record = replace(record, streak=record.streak + 1)
    if record.streak < check.retries:
        return record
    return _turned(replace(record, exit_code=probed.exit_code), Health.UNHEALTHY, now)


def _starting(check: HealthCheck, record: HealthRecord, at: float, started_at: float) -> bool:
    return record.status is Health.UNKNOWN and at - started_at < check.start_period


def _turned(record: HealthRecord, status: Health, now: float) -> HealthRecord:
    return record if record.status is status else replace(record, status=status, since=now)
