"""Metrics of the agent itself, and of its host. Pure."""

import os
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from metadata.introspection.metrics.scrape import Scrape
from metadata.introspection.words import LAST_WORDS, last_status


def families(scrape: Scrape) -> Iterator[Metric]:
    """All metrics that have no task in their labels."""
    yield InfoMetricFamily(
        "hostler_build", "The agent's version.", {"version": scrape.instance.version}
    )
    yield GaugeMetricFamily("hostler_host_cpus", "Processors of the host.", os.cpu_count() or 1)
    yield GaugeMetricFamily(
        "hostler_host_memory_bytes",
        "Memory of the host.",
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
    yield _tasks(scrape)
    yield _checks(scrape)
    yield CounterMetricFamily(
        "hostler_task_work_failures",
        "Unexpected failures of the work on a task, which was then tried again.",
        scrape.failures,
    )
    yield _requests(scrape)


def _tasks(scrape: Scrape) -> Metric:
    counts = Counter(map(last_status, scrape.tasks))
    family = GaugeMetricFamily(
        "hostler_tasks",
        "Tasks that are not cleaned up yet, by their last status.",
        labels=["status"],
    )
    for word in LAST_WORDS:
        family.add_metric([word], counts[word])
    return family


def _checks(scrape: Scrape) -> Metric:
    family = GaugeMetricFamily(
        "hostler_check_success",
        "1 while something that the agent can't work without is well, else 0.",
        labels=["check"],
    )
    for each in scrape.checks:
        family.add_metric([each.name], 0 if each.problem else 1)
    return family


def _requests(scrape: Scrape) -> Metric:
    """Above the rate limit it is code 429."""
    family = CounterMetricFamily(
        "hostler_metadata_requests",
        "Requests of tasks to the metadata endpoint, by route and status code.",
        labels=["route", "code"],
    )
    for (route, code), count in sorted(scrape.requests.items()):
        family.add_metric([route, str(code)], count)
    return family
