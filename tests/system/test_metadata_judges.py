"""Tests of what programs of others find out about a real task from inside it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.host.cgroups.kernel import Cgroups
from metadata.endpoint import Endpoint
from metadata.stats.sampler import Sampler
from tests.system.agent import Agent, running_agent
from tests.system.inside import Inside, hosting
from tests.system.judges import installed
from tests.unit.metadata.facts import ARN, FULL, FULL_TASK, OWNER, Picture

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="runs containers: needs root"),
    pytest.mark.timeout(300),
]

HELD_MIB = 64
BUSY = f"""
trap 'exit 0' TERM
mkdir -p /held && head -c {HELD_MIB << 20} /dev/zero > /held/file
echo held
while true; do wget -q -O /dev/null "$ECS_CONTAINER_METADATA_URI_V4/task"; done &
ping -q "$(ip route | sed -n 's/^default via //p' | cut -d ' ' -f 1)" > /dev/null &
wait
"""
"""Uses some of all that is counted."""

OPENTELEMETRY = """
import json
from opentelemetry.sdk.extension.aws.resource.ecs import AwsEcsResourceDetector
print(json.dumps(dict(AwsEcsResourceDetector(raise_on_error=True).detect().attributes)))
"""
OPENTELEMETRY_NODE = """
const { awsEcsDetector } = require("@opentelemetry/resource-detector-aws");
const found = Object.entries(awsEcsDetector.detect().attributes);
Promise.all(found.map(async ([name, value]) => [name, await value])).then(
    (pairs) => console.log(JSON.stringify(Object.fromEntries(pairs))));
"""
EMBEDDED_METRICS = """
const { resolveEnvironment } = require("aws-embedded-metrics/lib/environment/EnvironmentDetector");
const { MetricsContext } = require("aws-embedded-metrics/lib/logger/MetricsContext");
resolveEnvironment().then((environment) => {
    const context = MetricsContext.empty();
    environment.configureContext(context);
    console.log(JSON.stringify({
        type: environment.getType(), name: environment.getName(), found: context.properties }));
});
"""
PORT = 9545
SCRAPE = f"""
import json, socket, time, urllib.request
from prometheus_client.parser import text_string_to_metric_families
end = time.monotonic() + 40
with socket.socket() as probe:
    while probe.connect_ex(("127.0.0.1", {PORT})) and time.monotonic() < end:
        time.sleep(0.2)
text = urllib.request.urlopen("http://127.0.0.1:{PORT}/metrics", timeout=20).read().decode()
print(json.dumps({{
    sample.name.removeprefix("ecs_task_"): sample.value
    for family in text_string_to_metric_families(text) for sample in family.samples
    if sample.labels.get("container_name") == "judged" and "cpu" not in sample.labels}}))
"""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as running:
        yield running


@pytest.fixture(scope="module")
def python() -> Path:
    return installed.python()


@pytest.fixture(scope="module")
def node() -> Path:
    return installed.node()


def told(inside: Inside) -> dict[str, Any]:
    """What OpenTelemetry should say of it, by what the control API says."""
    task, container = inside.task.shown(), inside.task.container(inside.container)
    family, revision = task["taskDefinitionArn"].rpartition("/")[2].split(":")
    return {
        "cloud.provider": "aws",
        "cloud.platform": "aws_ecs",
        "aws.ecs.container.arn": container["containerArn"],
        "aws.ecs.task.arn": task["taskArn"],
        "aws.ecs.cluster.arn": task["clusterArn"],
        "aws.ecs.launchtype": task["launchType"].lower(),
        "aws.ecs.task.family": family,
        "aws.ecs.task.revision": revision,
    }


@pytest.mark.parametrize("mode", ["bridge", "none"])
def test_opentelemetry_tells_where_it_runs(agent: Agent, python: Path, mode: str) -> None:
    inside = hosting(agent, python.parents[1], networkMode=mode)
    found = inside.json(python, "-c", OPENTELEMETRY)
    assert found.items() >= told(inside).items()
    expected = inside.task.container("judged")["runtimeId"] if Cgroups().version == 1 else ""
    assert found["container.id"] == expected  # with cgroup v2 a container doesn't see its name
    inside.task.end()


def test_opentelemetry_for_node_tells_the_same(agent: Agent, node: Path) -> None:
    inside = hosting(agent, node)
    found = inside.json("env", "-C", node, "node", "-e", OPENTELEMETRY_NODE)
    assert found.items() >= told(inside).items()
    arn = inside.task.arn.split(":")
    assert (found["cloud.region"], found["cloud.account.id"]) == (arn[3], arn[4])
    assert found["cloud.resource_id"] == found["aws.ecs.container.arn"]
    inside.task.end()


def test_embedded_metrics_finds_itself_in_ecs(agent: Agent, node: Path) -> None:
    inside = hosting(agent, node)
    found = inside.json("env", "-C", node, "node", "-e", EMBEDDED_METRICS)
    container = inside.task.container("judged")
    assert (found["type"], found["name"]) == ("AWS::ECS::Container", "hello")
    assert found["found"].keys() == {
        "containerId", "createdAt", "startedAt", "image", "cluster", "taskArn"
    }  # fmt: skip
    assert found["found"]["taskArn"] == inside.task.arn
    assert found["found"]["image"] == container["image"]
    assert found["found"]["cluster"] == inside.task.shown()["clusterArn"].rpartition("/")[2]
    inside.task.end()


@dataclass(frozen=True, slots=True)
class Counted:
    """What the kernel has counted for a process's cgroup and network namespace so far."""

    cpu_ns: int
    memory: int
    received: int
    sent: int

    @classmethod
    def of(cls, pid: int) -> Counted:
        """By files of the kernel alone."""
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        paths = {
            each: path
            for _, names, path in (line.split(":", 2) for line in lines)
            for each in names.split(",")
        }
        mount = Cgroups().mount
        if Cgroups().version == 2:
            group = mount / paths[""].lstrip("/")
            stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
            cpu, memory = int(stat["usage_usec"]) * 1000, group / "memory.current"
        else:
            usage = mount / "cpuacct" / paths["cpuacct"].lstrip("/") / "cpuacct.usage"
            cpu = int(usage.read_text())
            memory = mount / "memory" / paths["memory"].lstrip("/") / "memory.usage_in_bytes"
        devices = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        counters = dict(line.split(":", 1) for line in devices)
        eth0 = next(each.split() for name, each in counters.items() if name.strip() == "eth0")
        return cls(cpu, int(memory.read_text()), int(eth0[0]), int(eth0[8]))


def test_an_exporter_says_what_the_kernel_counts(agent: Agent, python: Path) -> None:
    """Two rounds of collection by ecs-container-exporter, whose figures end in Prometheus."""
    inside = hosting(
        agent, python.parents[1], script=BUSY, container={"cpu": 512}, cpu="512", memory="512"
    )
    inside.task.until_log("judged")
    pid = inside.task.pid("judged")
    exporter = python.with_name("ecs-container-exporter")
    before = Counted.of(pid)
    inside.start(exporter, "--interval", "2", "--exporter-port", str(PORT))
    first, second = (inside.json(python, "-c", SCRAPE) for _ in range(2))
    after = Counted.of(pid)
    for figures in (first, second):
        _is_plausible(figures, before, after)
    assert first["network_rx_bytes_total"] < second["network_rx_bytes_total"]
    assert first["cpu_usermode"] + second["cpu_usermode"] <= after.cpu_ns - before.cpu_ns
    inside.task.end()


def _is_plausible(figures: Mapping[str, float], before: Counted, after: Counted) -> None:
    assert figures["cpu_limit"] == 512
    assert figures["mem_limit"] == 256
    assert HELD_MIB << 20 <= figures["mem_usage"] <= 256 << 20
    # The kernel adds up what its processors counted, but for their last 64 pages each.
    assert figures["mem_cache"] >= (HELD_MIB << 20) - os.sysconf("SC_NPROCESSORS_ONLN") * (64 << 12)
    assert before.received <= figures["network_rx_bytes_total"] <= after.received
    assert before.sent <= figures["network_tx_bytes_total"] <= after.sent
    assert figures["cpu_usage_ratio"] > 0
    assert figures["cpu_kernelmode"] + figures["cpu_usermode"] <= after.cpu_ns - before.cpu_ns


async def test_opentelemetry_names_the_log_group_of_awslogs(python: Path) -> None:
    """Of facts, as Hostler has no such driver yet."""
    options = {"awslogs-group": "/shop", "awslogs-region": "xx-test-1", "awslogs-stream": "web/1"}
    container = replace(FULL, log_driver="awslogs", log_options=options)
    sampler = Sampler()
    endpoint = Endpoint(Picture([replace(FULL_TASK, containers=(container,))]), sampler)
    sock = socket.create_server(("127.0.0.1", 0))
    uri = f"http://127.0.0.1:{sock.getsockname()[1]}/v4/{container.endpoint_id}"
    await endpoint.serve(sock, OWNER, "one")
    env = {"ECS_CONTAINER_METADATA_URI_V4": uri}
    process = await asyncio.create_subprocess_exec(
        python, "-c", OPENTELEMETRY, env=env, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(60):
        found, _ = await process.communicate()
    await endpoint.close_all()
    sampler.close()
    group = f"{ARN.replace(':ecs:', ':logs:')}:log-group:/shop"
    assert (
        json.loads(found).items()
        >= {
            "aws.log.group.names": ["/shop"],
            "aws.log.group.arns": [group],
            "aws.log.stream.names": ["web/1"],
            "aws.log.stream.arns": [f"{group}:log-stream:web/1"],
        }.items()
    )
