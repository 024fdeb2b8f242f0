"""Tests of the statistics object."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from metadata.stats import render as stats
from metadata.stats.cgroup import CpuUsage, MemoryUsage, Transfers, Usage
from metadata.stats.proc import HostCpu, InterfaceCounters
from metadata.stats.render import Sample, Samples
from tests.unit.metadata.facts import FULL, SECOND, at

FIRST = Sample(
    at=at(),
    usage=Usage(
        cpu=CpuUsage(300, 200, 100, (120, 180), 5, 2, 30),
        memory=MemoryUsage(3000, 3500, 4, 4096, {"cache": 7, "total_rss": 8}),
        processes=3,
        process_limit=100,
        io_bytes=(Transfers(8, 0, "Read", 10),),
        io_operations=(Transfers(8, 0, "Read", 1),),
    ),
    host_cpu=HostCpu(9000, 2),
    host_memory=1 << 30,
    networks={"eth0": InterfaceCounters(1, 2, 3, 4, 5, 6, 7, 8)},
)
SECOND_ONE = replace(
    FIRST,
    at=at(2 * SECOND),
    usage=replace(FIRST.usage, cpu=CpuUsage(500, 350, 150, (), 5, 2, 30)),
    host_cpu=HostCpu(9900, 2),
    networks={
        "eth0": InterfaceCounters(101, 0, 0, 0, 45, 0, 0, 0),
        "eth1": InterfaceCounters(100, 0, 0, 0, 0, 0, 0, 0),
    },
)


def v3(samples: Samples) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(stats.stats_v3(FULL, samples)))
    return shown


def test_first_sample_has_every_key_and_an_empty_past() -> None:
    none: list[object] = []
    assert v3(Samples(FIRST)) == {
        "read": "2031-02-03T04:05:06Z",
        "preread": "0001-01-01T00:00:00Z",
        "pids_stats": {"current": 3, "limit": 100},
        "blkio_stats": {
            "io_service_bytes_recursive": [{"major": 8, "minor": 0, "op": "Read", "value": 10}],
            "io_serviced_recursive": [{"major": 8, "minor": 0, "op": "Read", "value": 1}],
            "io_queue_recursive": none,
            "io_service_time_recursive": none,
            "io_wait_time_recursive": none,
            "io_merged_recursive": none,
            "io_time_recursive": none,
            "sectors_recursive": none,
        },
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": {
            "cpu_usage": {
                "total_usage": 300,
                "percpu_usage": [120, 180],
                "usage_in_kernelmode": 100,
                "usage_in_usermode": 200,
            },
            "system_cpu_usage": 9000,
            "online_cpus": 2,
            "throttling_data": {"periods": 5, "throttled_periods": 2, "throttled_time": 30},
        },
        "precpu_stats": {
            "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "memory_stats": {
            "usage": 3000,
            "max_usage": 3500,
            "stats": {"cache": 7, "total_rss": 8},
            "failcnt": 4,
            "limit": 4096,
        },
        "name": "/ecs-shop-7-web-a0",
        "id": "5b1e",
        "networks": {
            "eth0": {
                "rx_bytes": 1,
                "rx_packets": 2,
                "rx_errors": 3,
                "rx_dropped": 4,
                "tx_bytes": 5,
                "tx_packets": 6,
                "tx_errors": 7,
                "tx_dropped": 8,
            }
        },
    }


def test_second_sample_shows_the_first_as_its_past() -> None:
    shown = v3(Samples(SECOND_ONE, FIRST))
    assert (shown["preread"], shown["read"]) == ("2031-02-03T04:05:06Z", "2031-02-03T04:05:08Z")
    assert shown["precpu_stats"] == v3(Samples(FIRST))["cpu_stats"]
    assert shown["cpu_stats"]["cpu_usage"] == {
        "total_usage": 500,
        "usage_in_kernelmode": 150,
        "usage_in_usermode": 350,
    }


def test_what_the_kernel_does_not_count_is_left_out() -> None:
    usage = replace(
        FIRST.usage,
        memory=MemoryUsage(3000, None, None, None, {}),
        processes=None,
        process_limit=None,
        io_bytes=(),
        io_operations=(),
    )
    shown = v3(Samples(replace(FIRST, usage=usage)))
    assert shown["pids_stats"] == {}
    assert shown["memory_stats"] == {"usage": 3000, "stats": {}, "limit": 1 << 30}
    assert all(value == [] for value in shown["blkio_stats"].values())


def test_a_limit_above_the_hosts_memory_is_the_hosts_memory() -> None:
    memory = replace(FIRST.usage.memory, limit=9223372036854771712)
    sample = replace(FIRST, usage=replace(FIRST.usage, memory=memory))
    assert v3(Samples(sample))["memory_stats"]["limit"] == 1 << 30


@pytest.mark.parametrize("networks", [None, {}])
def test_networks_are_left_out_without_one_of_its_own(
    networks: Mapping[str, InterfaceCounters] | None,
) -> None:
    sample = replace(FIRST, networks=networks)
    assert "networks" not in v3(Samples(sample))
    assert "network_rate_stats" not in stats.stats_v4(FULL, Samples(sample, FIRST))
    assert "network_rate_stats" not in stats.stats_v4(FULL, Samples(FIRST, sample))


def test_version_4_adds_rates_over_all_interfaces_from_the_second_sample() -> None:
    samples = Samples(SECOND_ONE, FIRST)
    assert "network_rate_stats" not in stats.stats_v4(FULL, Samples(FIRST))
    assert stats.stats_v4(FULL, samples) == {
        **stats.stats_v3(FULL, samples),
        "network_rate_stats": {"rx_bytes_per_sec": 100.0, "tx_bytes_per_sec": 20.0},
    }


def test_rates_are_never_negative_nor_over_no_time() -> None:
    backwards = Samples(replace(FIRST, at=at(4 * SECOND)), SECOND_ONE)
    assert stats.stats_v4(FULL, backwards)["network_rate_stats"] == {
        "rx_bytes_per_sec": 0.0,
        "tx_bytes_per_sec": 0.0,
    }
    assert "network_rate_stats" not in stats.stats_v4(FULL, Samples(FIRST, SECOND_ONE))
