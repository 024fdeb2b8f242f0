"""Tests of what a real task is answered, in each network mode, against the OpenAPI description."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.inside import Inside, hosting
from tests.system.tasks import shell
from tests.unit.metadata.contract import METADATA, Received

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="runs containers: needs root"),
    pytest.mark.timeout(300),
]

PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
ASK = """
import http.client, json, os, sys
answers = []
endpoint_id = os.environ["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2]
connection = http.client.HTTPConnection("169.254.170.2", timeout=5)
for template in sys.argv[1:]:
    path = template.replace("{endpointId}", endpoint_id)
    connection.request("GET", path)
    response = connection.getresponse()
    body, kind = response.read().decode(), response.headers.get_content_type()
    answers.append({"path": path, "status": response.status, "content_type": kind,
                    "headers": dict(response.headers),
                    "content": json.loads(body) if kind == "application/json" else body})
print(json.dumps(answers))
"""
TEMPLATES = [
    each
    for each in METADATA.templates
    if METADATA.tag(each).startswith("version") and "{endpointId}" in each
]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as running:
        yield running


def answers(inside: Inside) -> dict[str, Received]:
    """By the description's paths, as one of the container's programs gets them."""
    paths = [
        each.replace("{associationType}", "kind").replace("{associationName}", "name")
        for each in TEMPLATES
    ]
    found: list[dict[str, Any]] = inside.json(PYTHON, "-c", ASK, *paths)
    return {template: Received(**each) for template, each in zip(TEMPLATES, found, strict=True)}


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
    for template, answer in got.items():
        assert METADATA.breaches(answer) == [], template
        assert answer.status == (400 if template.endswith(("Type}/", "Name}")) else 200), template
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
    assert [METADATA.breaches(each) for each in got.values()] == [[]] * len(got)
    containers = {each["Name"]: each for each in got["/v4/{endpointId}/task"].content["Containers"]}
    assert containers["short"]["ExitCode"] == 7
    usage = got["/v4/{endpointId}/task/stats"].content
    assert usage.keys() == {each["DockerId"] for each in containers.values()}
    assert usage[containers["short"]["DockerId"]] == {}
    inside.task.end()
