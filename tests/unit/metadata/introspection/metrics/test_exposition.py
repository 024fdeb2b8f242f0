"""Metrics as Prometheus reads them, by the client library's own parsers."""

import math
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

from metadata.introspection.health import Check
from metadata.introspection.metrics.exposition import exposed
from metadata.introspection.metrics.scrape import Scrape
from metadata.source import ContainerFacts, HealthFacts, TaskFacts
from metadata.stats.cgroup import CpuUsage, MemoryUsage, Transfers, Usage
from metadata.stats.proc import HostCpu, InterfaceCounters
from metadata.stats.render import Sample
from tests.unit.metadata.facts import ARN, FULL, FULL_TASK, INSTANCE, PAUSE, PULLED, at

OPENMETRICS = "application/openmetrics-text;version=1.0.0"

SAMPLE = Sample(
    at=at(),
    usage=Usage(
        cpu=CpuUsage(3_000_000_000, 2_000_000_000, 1_000_000_000, (), 5, 2, 500_000_000),
        memory=MemoryUsage(3000, None, None, 4096, {"inactive_file": 1000}),
        processes=3,
        process_limit=100,
        io_bytes=(
            Transfers(8, 0, "Read", 10),
            Transfers(8, 16, "read", 5),
            Transfers(8, 0, "Write", 7),
            Transfers(8, 0, "Total", 22),
        ),
        io_operations=(Transfers(8, 0, "Read", 2), Transfers(8, 0, "Write", 1)),
    ),
    host_cpu=HostCpu(9000, 2),
    host_memory=1 << 30,
    networks={
        "eth0": InterfaceCounters(1, 2, 3, 4, 5, 6, 7, 8),
        "eth1": InterfaceCounters(10, 20, 30, 40, 50, 60, 70, 80),
    },
)
RUNNING = replace(
    FULL, known_status="RUNNING", desired_status="RUNNING", exit_code=None, restart_count=2
)
TASK = replace(FULL_TASK, cluster=f"{ARN}:cluster/lab", containers=(RUNNING, PAUSE))
OF_TASK = {"cluster": "lab", "family": "shop", "revision": "7", "task_id": "0123"}
OF_WEB = {**OF_TASK, "container": "web"}


def scrape(*tasks: TaskFacts, sample: Sample | None = SAMPLE, **more: Any) -> Scrape:
    """With this sample of every container."""
    return Scrape(**{"instance": INSTANCE, "tasks": tasks, "latest": lambda _: sample, **more})


def families(shown: Scrape) -> dict[str, Metric]:
    """By name, as OpenMetrics, which is the stricter format."""
    answer = exposed(shown, OPENMETRICS)
    text = answer.body.decode()
    parsed = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {each.name: each for each in parsed}


def value(shown: Scrape, name: str, **labels: str) -> float | None:
    """The only series of that name with these labels, and no others."""
    found = [
        sample.value
        for family in families(shown).values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hostler_container_started_seconds", 1927857907.81),
        ("hostler_container_restarts_total", 2),
        ("hostler_container_cpu_reserved_units", 128),
        ("hostler_container_memory_reserved_bytes", 256 << 20),
        ("hostler_container_cpu_usage_seconds_total", 3),
        ("hostler_container_cpu_user_seconds_total", 2),
        ("hostler_container_cpu_system_seconds_total", 1),
        ("hostler_container_cpu_throttled_seconds_total", 0.5),
        ("hostler_container_memory_usage_bytes", 3000),
        ("hostler_container_memory_working_set_bytes", 2000),
        ("hostler_container_memory_limit_bytes", 4096),
        ("hostler_container_processes", 3),
        ("hostler_container_network_receive_bytes_total", 11),
        ("hostler_container_network_receive_packets_total", 22),
        ("hostler_container_network_receive_dropped_total", 44),
        ("hostler_container_network_transmit_bytes_total", 55),
        ("hostler_container_network_transmit_packets_total", 66),
        ("hostler_container_network_transmit_dropped_total", 88),
        ("hostler_container_blkio_read_bytes_total", 15),
        ("hostler_container_blkio_write_bytes_total", 7),
        ("hostler_container_blkio_reads_total", 2),
        ("hostler_container_blkio_writes_total", 1),
    ],
)
def test_each_figure_of_a_container(name: str, expected: float) -> None:
    assert value(scrape(TASK), name, **OF_WEB) == pytest.approx(expected)


def test_a_container_that_has_ended_has_an_exit_code_and_no_usage() -> None:
    over = replace(TASK, containers=(FULL,), known_status="STOPPED")
    shown = scrape(over, sample=None)
    assert value(shown, "hostler_container_exit_code", **OF_WEB) == 0
    assert value(shown, "hostler_container_cpu_usage_seconds_total", **OF_WEB) is None
    assert value(scrape(TASK), "hostler_container_exit_code", **OF_WEB) is None


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (replace(SAMPLE, networks=None), "hostler_container_network_receive_bytes_total"),
        (
            replace(SAMPLE, usage=replace(SAMPLE.usage, processes=None)),
            "hostler_container_processes",
        ),
    ],
)
def test_what_is_not_counted_has_no_series(sample: Sample, name: str) -> None:
    assert value(scrape(TASK, sample=sample), name, **OF_WEB) is None


def test_without_a_limit_of_its_own_a_container_has_the_hosts_memory() -> None:
    memory = replace(SAMPLE.usage.memory, limit=None, counters={"total_inactive_file": 4000})
    shown = scrape(TASK, sample=replace(SAMPLE, usage=replace(SAMPLE.usage, memory=memory)))
    assert value(shown, "hostler_container_memory_limit_bytes", **OF_WEB) == 1 << 30
    assert value(shown, "hostler_container_memory_working_set_bytes", **OF_WEB) == 0


def test_a_container_without_a_memory_limit_or_a_policy_has_no_such_series() -> None:
    free = replace(RUNNING, limits=replace(RUNNING.limits, memory_mib=0), restart_count=None)
    shown = scrape(replace(TASK, containers=(free,)))
    assert value(shown, "hostler_container_memory_reserved_bytes", **OF_WEB) is None
    assert value(shown, "hostler_container_restarts_total", **OF_WEB) is None


def states(shown: Scrape, name: str, **labels: str) -> dict[str, float]:
    return {
        sample.labels["status"]: sample.value
        for sample in families(shown)[name].samples
        if labels.items() <= sample.labels.items()
    }


def test_states_of_tasks_and_containers() -> None:
    waiting = replace(TASK, known_status="PULLED", arn="task/9", containers=(PULLED,))
    going = replace(TASK, desired_status="STOPPED", arn="task/8")
    shown = scrape(TASK, waiting, going)
    tasks = "hostler_task_state"
    zero = {"PENDING": 0, "RUNNING": 0, "STOPPING": 0, "STOPPED": 0}
    assert states(shown, tasks, task_id="0123") == {**zero, "RUNNING": 1}
    assert states(shown, tasks, task_id="9") == {**zero, "PENDING": 1}
    assert states(shown, tasks, task_id="8") == {**zero, "STOPPING": 1}
    assert states(shown, "hostler_tasks") == {**zero, "RUNNING": 1, "PENDING": 1, "STOPPING": 1}
    containers = "hostler_container_state"
    assert states(shown, containers, task_id="9") == {"PENDING": 1, "RUNNING": 0, "STOPPED": 0}
    assert states(shown, containers, task_id="0123") == {"PENDING": 0, "RUNNING": 1, "STOPPED": 0}


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (None, {}),
        (HealthFacts(), {"HEALTHY": 0, "UNHEALTHY": 0, "UNKNOWN": 1}),
        (HealthFacts("HEALTHY"), {"HEALTHY": 1, "UNHEALTHY": 0, "UNKNOWN": 0}),
        (HealthFacts("UNHEALTHY"), {"HEALTHY": 0, "UNHEALTHY": 1, "UNKNOWN": 0}),
    ],
)
def test_health_is_there_with_a_check(
    health: HealthFacts | None, expected: dict[str, float]
) -> None:
    shown = scrape(replace(TASK, containers=(replace(RUNNING, health=health),)))
    assert states(shown, "hostler_container_health") == expected


def test_a_task_and_its_limits() -> None:
    shown = scrape(replace(TASK, network_mode="bridge"))
    info = {"network_mode": "bridge", "group": "service:shop"}
    assert value(shown, "hostler_task_info", **OF_TASK, **info) == 1
    assert value(shown, "hostler_task_cpu_limit_cpus", **OF_TASK) == 0.5
    assert value(shown, "hostler_task_memory_limit_bytes", **OF_TASK) == 512 << 20
    unlimited = scrape(replace(TASK, limits=None))
    assert value(unlimited, "hostler_task_cpu_limit_cpus", **OF_TASK) is None


def test_a_task_has_started_with_its_last_container() -> None:
    second = replace(RUNNING, name="db", started_at=at(5_000_000_000))
    name = "hostler_task_started_seconds"
    both = scrape(replace(TASK, containers=(second, RUNNING)))
    assert value(both, name, **OF_TASK) == pytest.approx(1927857911)
    waiting = scrape(replace(TASK, containers=(RUNNING, PULLED)))
    assert value(waiting, name, **OF_TASK) is None
    assert value(scrape(replace(TASK, containers=())), name, **OF_TASK) is None


def test_the_agent_itself() -> None:
    shown = scrape(
        checks=(Check("containerd", "away"), Check("store")),
        failures=3,
        requests={("/v4/<id>/task", 200): 5, ("/v4/<id>/task", 429): 2},
    )
    assert value(shown, "hostler_build_info", version="0.1.0") == 1
    assert value(shown, "hostler_check_success", check="containerd") == 0
    assert value(shown, "hostler_check_success", check="store") == 1
    assert value(shown, "hostler_task_work_failures_total") == 3
    requests = "hostler_metadata_requests_total"
    assert value(shown, requests, route="/v4/<id>/task", code="200") == 5
    assert value(shown, requests, route="/v4/<id>/task", code="429") == 2
    for positive in (
        "hostler_host_cpus",
        "hostler_host_memory_bytes",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ):
        found = value(shown, positive)
        assert found is not None
        assert found > 0


def test_pause_containers_have_no_series() -> None:
    names = {
        sample.labels.get("container")
        for family in families(scrape(TASK)).values()
        for sample in family.samples
    }
    assert names == {None, "web"}


def test_labels_are_escaped() -> None:
    nasty = 'a"b\\c\nd'
    shown = scrape(replace(TASK, family=nasty, group=nasty))
    labels = {**OF_TASK, "family": nasty}
    assert value(shown, "hostler_task_info", **labels, network_mode="", group=nasty) == 1
    plain = parser.text_string_to_metric_families(exposed(shown, "").body.decode())
    assert nasty in {each.labels.get("family") for family in plain for each in family.samples}


def test_no_label_is_what_a_program_inside_may_choose() -> None:
    """Interfaces are named by whoever is root in a namespace, health output by its check."""
    interfaces = {f"evil{number}": InterfaceCounters(*[1] * 8) for number in range(100)}
    loud = replace(RUNNING, health=HealthFacts("HEALTHY", output="evil"))
    shown = scrape(replace(TASK, containers=(loud,)), sample=replace(SAMPLE, networks=interfaces))
    body = exposed(shown, OPENMETRICS).body.decode()
    assert "evil" not in body
    assert value(shown, "hostler_container_network_receive_bytes_total", **OF_WEB) == 100


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=nonsense", "text/plain; version=0.0.4; charset=utf-8"),
        (f"{OPENMETRICS};q=0.75,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        (
            "application/openmetrics-text;version=2.\udce9",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (
            "application/openmetrics-text;version=x.y",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
    ],
)
def test_the_scraper_gets_the_format_that_it_asks_for(accept: str, content_type: str) -> None:
    answer = exposed(scrape(TASK), accept)
    assert answer.status == 200
    assert answer.content_type.startswith(content_type)
    ends = answer.body.endswith(b"# EOF\n")
    assert ends == content_type.startswith("application/openmetrics-text")


def test_both_formats_say_the_same() -> None:
    shown = scrape(TASK)
    plain = {
        (sample.name, *sorted(sample.labels.items()))
        for family in parser.text_string_to_metric_families(exposed(shown, "").body.decode())
        for sample in family.samples
    }
    strict = {
        (sample.name, *sorted(sample.labels.items()))
        for family in families(shown).values()
        for sample in family.samples
    }
    assert plain == strict


def test_every_metric_has_a_text_and_no_value_is_nan() -> None:
    for family in families(scrape(TASK, failures=1, checks=(Check("store"),))).values():
        assert family.documentation.endswith(".")
        assert not any(math.isnan(each.value) for each in family.samples)


def test_without_tasks_there_is_a_valid_text() -> None:
    assert families(scrape())["hostler_tasks"].samples


def many(count: int) -> list[ContainerFacts]:
    return [replace(RUNNING, name=f"c{number}", docker_id=f"d{number}") for number in range(count)]


def test_series_grow_with_containers_alone() -> None:
    def series(count: int) -> int:
        shown = scrape(replace(TASK, containers=tuple(many(count))))
        return sum(len(each.samples) for each in families(shown).values())

    one, two, three = map(series, (1, 2, 3))
    assert three - two == two - one < 40
