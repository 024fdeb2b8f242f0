"""What a host's programs learn of tasks in every network mode, from a real agent's port.

The host is a network namespace of the test's own: its loopback is nobody else's.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser

from tests.system import netlab, vpclab
from tests.system.agent import Agent
from tests.system.netlab import Lab
from tests.system.tasknet import awsvpc, interface, sealed_agent
from tests.system.tasks import SERVES, Task, eventually, run, shell

NIC = f"i{os.getpid()}"
PORT = 51678
STATS = f"wget -qO- $ECS_CONTAINER_METADATA_URI_V4/stats >/dev/null && {SERVES}"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


@dataclass(frozen=True, slots=True)
class World:
    """A host that an agent has to itself."""

    lab: Lab
    agent: Agent

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Status and body of an answer on the host's loopback."""
        return self.lab.on_host(_ask, method, path, headers)

    def json(self, path: str) -> Any:
        status, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def metrics(self) -> dict[tuple[str, str, str], float]:
        """By name, task and container; of those with a status only the one that holds."""
        status, body = self.get("/metrics", **OPENMETRICS)
        assert status == 200
        samples = [
            sample
            for family in parser.text_string_to_metric_families(body)  # type: ignore[no-untyped-call]
            for sample in family.samples
        ]
        return {
            (
                each.name,
                each.labels.get("task_id", ""),
                each.labels.get("container", ""),
            ): each.value
            for each in samples
        }


def _ask(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("introspection")
    with netlab.lab(root / "lab") as lab, vpclab.vpc(root / "vpc") as vpc:
        vpc.cable(lab.host, NIC, "02:00:00:00:05:01")
        lab.ip(lab.host, f"link set {NIC} up")
        settings = {
            "HOSTLER_INTROSPECTION_LISTEN": f"127.0.0.1:{PORT}",
            "HOSTLER_ENI_PARENT": NIC,
            "HOSTLER_ENI_SUBNET": "10.0.1.0/24",
            "HOSTLER_ENI_RANGE": "10.0.1.100-10.0.1.120",
        }
        with sealed_agent(lab, **settings) as agent:
            yield World(lab, agent)


def started(world: World, mode: str) -> Task:
    """A task in this mode that runs and has asked for its statistics."""
    mapping = {"containerPort": 8080, "hostPort": 0 if mode == "bridge" else 8080}
    app = shell("app", STATS, portMappings=[mapping])
    task = (
        awsvpc(world.agent, app)
        if mode == "awsvpc"
        else run(world.agent, app, networkMode=mode, family="own")
    )
    task.until_running()
    task.until_log("app")
    return task


@pytest.mark.parametrize("mode", ["bridge", "host", "awsvpc"])
def test_a_task_is_shown_while_it_runs_and_after(world: World, mode: str) -> None:
    task = started(world, mode)
    shown = world.json(f"/v1/tasks?taskarn={task.arn}")
    (container,) = shown.pop("Containers")
    assert shown == {
        "Arn": task.arn,
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Family": "own",
        "Version": shown["Version"],
    }
    assert container["Name"] == "app"
    assert world.json(f"/v1/tasks?dockerid={container['DockerId']}")["Arn"] == task.arn
    assert world.json(f"/v1/tasks?dockerid={container['DockerId'][:12]}")["Arn"] == task.arn
    (port,) = container["Ports"]
    assert (port["ContainerPort"], port["Protocol"]) == (8080, "tcp")
    if mode == "bridge":
        (binding,) = task.container("app")["networkBindings"]
        assert port["HostPort"] == binding["hostPort"]
    else:
        assert port["HostPort"] == 8080
    networks = container.get("Networks")
    if mode == "awsvpc":
        address = interface(task)["privateIPv4Address"]
        assert networks == [{"NetworkMode": "awsvpc", "IPv4Addresses": [address]}]
    else:
        assert networks is None
    task.end()
    over = world.json(f"/v1/tasks?taskarn={task.arn}")
    assert (over["DesiredStatus"], over["KnownStatus"]) == ("STOPPED", "STOPPED")
    assert task.arn in [each["Arn"] for each in world.json("/v1/tasks")["Tasks"]]


@pytest.mark.parametrize("mode", ["bridge", "host", "awsvpc"])
def test_a_task_is_measured(world: World, mode: str) -> None:
    task = started(world, mode)
    found = world.metrics()
    key = (task.id, "app")
    assert found["hostler_container_cpu_usage_seconds_total", *key] > 0
    assert 0 < found["hostler_container_memory_usage_bytes", *key] <= 64 << 20
    assert found["hostler_container_memory_limit_bytes", *key] == 64 << 20
    has_network = ("hostler_container_network_receive_bytes_total", *key) in found
    assert has_network == (mode != "host")
    assert found["hostler_task_started_seconds", task.id, ""] > 1.7e9
    assert found["hostler_metadata_requests_total", "", ""] >= 1
    task.end()
    assert ("hostler_container_cpu_usage_seconds_total", *key) not in world.metrics()


def test_the_instance_is_that_of_the_api(world: World) -> None:
    shown = world.json("/v1/metadata")
    assert shown["Cluster"] == "default"
    assert shown["ContainerInstanceArn"].startswith("arn:aws:ecs:local:000000000000:")
    assert shown["Version"].startswith("Hostler - v")


def problems(world: World) -> list[str]:
    """What an agent that is not well says is not; a busy machine has more of it for a moment."""
    status, body = world.get("/health")
    if status != 503:
        return []
    shown = json.loads(body)
    assert shown["status"] == "unhealthy"
    return list(shown["problems"])


def test_health_follows_containerd(world: World) -> None:
    eventually(lambda: world.get("/health", method="HEAD") == (200, ""), "a healthy agent")
    state = Path(world.agent.settings["HOSTLER_RUN_DIR"]) / "containerd"
    pid = int((state / "containerd.pid").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: problems(world) == ["containerd"], "an unhealthy agent")
        assert world.get("/v1/metadata")[0] == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: world.get("/health")[0] == 200, "a healthy agent")


def test_a_web_page_is_refused(world: World) -> None:
    status, body = world.get("/v1/tasks", Host="rebound.example")
    assert (status, "Arn" in body) == (421, False)


def test_a_task_in_host_mode_sees_it_too_and_one_in_a_namespace_does_not(world: World) -> None:
    ask = f"wget -qO- http://127.0.0.1:{PORT}/v1/metadata || echo refused"
    for mode, seen in (("host", True), ("bridge", False)):
        task = run(world.agent, shell("app", ask), networkMode=mode)
        task.until_closed()
        assert ("Hostler - v" in "".join(task.log("app"))) == seen
