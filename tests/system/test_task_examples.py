"""The examples, as their files stand: what a user reads there has to work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from cni.portmap.mappings import Protocol
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.netlab import connected
from tests.system.tasks import DEADLINE_S, Task, eventually

TASKDEFS = sorted(path.name for path in (ROOT / "examples" / "taskdefs").glob("*.json"))


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


def started(agent: Agent, name: str) -> Task:
    """A task of an example exactly as ``aws ecs describe-task-definition`` printed it."""
    printed = json.loads((ROOT / "examples" / "taskdefs" / name).read_text())
    return Task(agent, agent.run(printed["taskDefinition"]))


def test_every_example_is_tested() -> None:
    assert TASKDEFS == ["batch.json", "sidecar.json", "web.json"]


def test_batch_adds_the_numbers_up(agent: Agent) -> None:
    task = started(agent, "batch.json")
    task.until_closed()
    assert task.exit_codes() == {"fetch": 0, "sum": 0}
    assert task.log("sum") == ["total 500500\n"]
    assert task.leftovers() == []


def test_web_becomes_healthy_and_serves_its_page(agent: Agent) -> None:
    task = started(agent, "web.json")
    task.until_step("healthy", "web")
    (binding,) = task.container("web")["networkBindings"]
    published = (IPv4Address("127.0.0.1"), binding["hostPort"])
    with connected(Protocol.TCP, published, DEADLINE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = client.makefile("rb").read().decode()
    assert f"hello from {task.container('web')['runtimeId'][:12]}\n" in page
    task.stop()
    task.until_closed()
    signals = [each["detail"] for each in task.timeline() if each["what"] == "signalled"]
    assert signals == ["SIGTERM"], "the init passes SIGTERM on"
    assert task.leftovers() == []


def test_sidecar_ships_what_the_app_writes(agent: Agent) -> None:
    task = started(agent, "sidecar.json")
    task.until_running()
    eventually(lambda: bool(task.log("shipper")), "a line that was shipped")
    task.stop()
    task.until_closed()
    stories = [(each, what) for each, what in task.story() if what == "exited"]
    assert stories == [("app", "exited"), ("shipper", "exited")]
    assert task.exit_codes()["app"] == 0
    assert task.leftovers() == []
