"""Tests of what a real task is answered, in each network mode, against the OpenAPI description."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system import vpclab
from tests.system.agent import Agent, running_agent
from tests.system.inside import Inside, hosting
from tests.system.tasknet import HERE, interface
from tests.system.tasks import output, shell
from tests.unit.metadata.contract import METADATA, Received

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="runs containers: needs root"),
    pytest.mark.timeout(300),
]

PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
ASK = """
import http.client, json, os, sys
connection = http.client.HTTPConnection("169.254.170.2", timeout=30)
def ask(path):
    connection.request("GET", path)
    response = connection.getresponse()
    body, kind = response.read().decode(), response.headers.get_content_type()
    return {"path": path, "status": response.status, "content_type": kind,
            "headers": dict(response.headers),
            "content": json.loads(body) if kind == "application/json" else body}
endpoint_id = os.environ["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2]
runtime_id = ask(f"/v4/{endpoint_id}")["content"]["DockerId"]
parts = {"endpointId": endpoint_id, "runtimeId": runtime_id,
         "associationType": "kind", "associationName": "name"}
print(json.dumps([ask(template.format(**parts)) for template in sys.argv[1:]]))
"""
TEMPLATES = [each for each in METADATA.templates if METADATA.tag(each).startswith("version")]
NIC = f"v{os.getpid()}"


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Agent]:
    """An agent whose tasks may have interfaces of their own."""
    with vpclab.vpc(tmp_path) as vpc:
        vpc.cable(HERE, NIC, "02:00:00:00:01:01")
        output("ip", "link", "set", NIC, "up")
        settings = {"HOSTLER_ENI_PARENT": NIC, "HOSTLER_ENI_SUBNET": "10.0.1.0/24,2001:db8:1::/64"}
        with running_agent(**settings) as running:
            yield running


def answers(inside: Inside) -> dict[str, Received]:
    """By the description's paths, as one of the container's programs gets them."""
    found: list[dict[str, Any]] = inside.json(PYTHON, "-c", ASK, *TEMPLATES)
    got = {template: Received(**each) for template, each in zip(TEMPLATES, found, strict=True)}
    for template, answer in got.items():
        assert METADATA.breaches(answer) == [], template
    return got


def statuses(got: Mapping[str, Received], prefix: str) -> set[int]:
    """Of all paths that begin so, but for those of associations, which no task has."""
    return {
        each.status
        for path, each in got.items()
        if path.startswith(prefix) and not path.endswith(("Type}/", "Name}"))
    }


@pytest.mark.parametrize("mode", ["bridge", "none"])
def test_all_that_a_real_task_is_told_is_as_described(agent: Agent, mode: str) -> None:
    inside = hosting(
        agent,
        networkMode=mode,
        cpu="512",
        memory="512",
        container={
            "portMappings": [{"containerPort": 80}] if mode == "bridge" else [],
            "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5},
            "dockerLabels": {"team": "shop"},
        },
    )
    got = answers(inside)
    assert (statuses(got, "/v2"), statuses(got, "/v3"), statuses(got, "/v4")) == (
        {400},
        {200},
        {200},
    )
    container = got["/v4/{endpointId}"].content
    assert container["Networks"][0]["NetworkMode"] == mode
    assert ("Ports" in container) == (mode == "bridge")
    assert ("networks" in got["/v4/{endpointId}/stats"].content) == (mode == "bridge")
    inside.task.end()


def test_a_task_of_several_containers_is_as_described(agent: Agent) -> None:
    """One of them has ended: its statistics are gone, and it has an exit code."""
    short = shell("short", "exit 7", essential=False)
    inside = hosting(agent, others=[short])
    inside.task.until_step("exited", "short")
    got = answers(inside)
    containers = {each["Name"]: each for each in got["/v4/{endpointId}/task"].content["Containers"]}
    assert containers["short"]["ExitCode"] == 7
    usage = got["/v4/{endpointId}/task/stats"].content
    assert usage.keys() == {each["DockerId"] for each in containers.values()}
    assert usage[containers["short"]["DockerId"]] == {}
    inside.task.end()


def test_a_task_with_an_interface_of_its_own_is_as_described(own: Agent) -> None:
    """And version 2 answers it as version 3 does."""
    inside = hosting(own, networkMode="awsvpc")
    got = answers(inside)
    assert statuses(got, "/v") == {200}
    (network,) = got["/v4/{endpointId}"].content["Networks"]
    assert network["NetworkMode"] == "awsvpc"
    assert network["IPv4SubnetCIDRBlock"] == "10.0.1.0/24"
    assert network["MACAddress"] == interface(inside.task)["macAddress"]
    assert got["/v2/metadata"].content == got["/v3/{endpointId}/task"].content
    assert got["/v2/metadata/{runtimeId}"].content == got["/v3/{endpointId}"].content
    inside.task.end()
