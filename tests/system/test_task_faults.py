"""Network faults that a task asks for: what they stop, what they leave alone, and how they end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system import vpclab
from tests.system.agent import Agent, running_agent
from tests.system.agentapi import SAYS_WHERE, Asker
from tests.system.tasknet import HERE, interface, namespace
from tests.system.tasks import DEADLINE_S, Json, Task, eventually, output, shell
from tests.system.trafficcontrol import WITHOUT, shapes
from tests.system.vpclab import GATEWAY, GATEWAY6, REFUSED_S, Vpc

NIC = f"w{os.getpid()}"
BLACKHOLE = "network-blackhole-port"
LATENCY = "network-latency"
LOSS = "network-packet-loss"
LATE = {"DelayMilliseconds": 300, "JitterMilliseconds": 0}
UDP = socket.SOCK_DGRAM
NAMES = ("app", "two", "three", "four")
"""Of containers: as many as a test asks for one operation, each of which has a limit."""


@dataclass(frozen=True, slots=True)
class World:
    """An agent, and the network that the NIC of its host is plugged into."""

    agent: Agent
    vpc: Vpc

    def run(self, *, faults: bool = True) -> tuple[Task, Asker]:
        """A task that runs, and a way to ask as it would."""
        definition = {
            "family": "faulty",
            "networkMode": "awsvpc",
            "enableFaultInjection": faults,
            "containerDefinitions": [shell(each, SAYS_WHERE) for each in NAMES],
        }
        task = Task(self.agent, self.agent.run(definition))
        task.until_running()
        uris = [task.until_log(each)[0] for each in NAMES]
        return task, Asker(self.vpc.threads, namespace(task), *uris)

    def gets_out(self, task: Task, to: str, port: int, kind: Any = socket.SOCK_STREAM) -> bool:
        """Whether the task reaches a port of the gateway."""
        return self._passes(namespace(task), self.vpc.gateway, (to, port), kind, DEADLINE_S)

    def is_kept_in(self, task: Task, to: str, port: int, kind: Any = socket.SOCK_STREAM) -> bool:
        """Whether the task does not reach a port of the gateway."""
        return not self._passes(namespace(task), self.vpc.gateway, (to, port), kind, REFUSED_S)

    def gets_in(self, task: Task, at: str, port: int, kind: Any = socket.SOCK_STREAM) -> bool:
        """Whether the gateway reaches a port of the task."""
        return self._passes(self.vpc.gateway, namespace(task), (at, port), kind, DEADLINE_S)

    def is_kept_out(self, task: Task, at: str, port: int, kind: Any = socket.SOCK_STREAM) -> bool:
        """Whether the gateway does not reach a port of the task."""
        return not self._passes(self.vpc.gateway, namespace(task), (at, port), kind, REFUSED_S)

    def _passes(
        self, source: Path, there: Path, to: tuple[str, int], kind: Any, patience_s: float
    ) -> bool:
        with self.vpc.listen(there, *to, kind) as listener:
            try:
                self.vpc.talk(source, to[0], listener, patience_s)
            except OSError:
                return False
            return True


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with vpclab.vpc(tmp_path_factory.mktemp("faults")) as vpc:
        vpc.cable(HERE, NIC, "02:00:00:00:02:01")
        output("ip", "link", "set", NIC, "up")
        settings = {
            "HOSTLER_ENI_PARENT": NIC,
            "HOSTLER_ENI_SUBNET": "10.0.1.0/24,2001:db8:1::/64",
            "HOSTLER_ENI_RANGE": "10.0.1.100-10.0.1.120,2001:db8:1::100-2001:db8:1::120",
        }
        with running_agent(**settings) as agent:
            yield World(agent, vpc)


@pytest.fixture(autouse=True)
def _tasks_end(world: World) -> Iterator[None]:
    yield
    world.agent.end_tasks()


def hole(port: int, traffic: str, protocol: str = "tcp", **more: object) -> Json:
    return {"Port": port, "Protocol": protocol, "TrafficType": traffic, **more}


def addresses(task: Task) -> tuple[str, str]:
    told = interface(task)
    return told["privateIPv4Address"], told["ipv6Address"]


def tables(at: Path) -> list[str]:
    return subprocess.run(
        ["nsenter", f"--net={at}", "nft", "list", "tables"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def running(answer: tuple[int, Any]) -> bool:
    status, body = answer
    assert status == 200, body
    return {"running": True, "not-running": False, "stopped": False}[body["Status"]]


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", UDP)])
def test_nothing_gets_out_to_a_blackhole_and_all_does_when_it_stops(
    world: World, protocol: str, kind: Any
) -> None:
    task, asker = world.run()
    other, _ = world.run()
    asked = hole(7001, "egress", protocol)
    targets = (GATEWAY, GATEWAY6)
    assert all(world.gets_out(task, each, 7001, kind) for each in targets)
    assert not running(asker.fault(BLACKHOLE, "status", **asked))
    assert running(asker.fault(BLACKHOLE, "start", **asked))
    assert running(asker.fault(BLACKHOLE, "status", **asked))
    assert all(world.is_kept_in(task, each, 7001, kind) for each in targets)
    assert all(world.gets_out(task, each, 7002, kind) for each in targets)
    assert all(world.gets_out(other, each, 7001, kind) for each in targets)
    assert world.gets_in(task, addresses(task)[0], 7001, kind)
    assert asker.told_who_it_is()
    assert not running(asker.fault(BLACKHOLE, "stop", **asked))
    assert not running(asker.fault(BLACKHOLE, "status", **asked))
    assert all(world.gets_out(task, each, 7001, kind) for each in targets)
    assert not [each for each in tables(namespace(task)) if "faults" in each]


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", UDP)])
def test_nothing_gets_in_to_a_blackhole_and_all_does_when_it_stops(
    world: World, protocol: str, kind: Any
) -> None:
    task, asker = world.run()
    asked = hole(7001, "ingress", protocol)
    own = addresses(task)
    assert all(world.gets_in(task, each, 7001, kind) for each in own)
    assert running(asker.fault(BLACKHOLE, "start", **asked))
    assert all(world.is_kept_out(task, each, 7001, kind) for each in own)
    assert all(world.gets_in(task, each, 7002, kind) for each in own)
    assert world.gets_out(task, GATEWAY, 7001, kind)
    assert asker.told_who_it_is()
    assert running(asker.fault(BLACKHOLE, "status", **asked))
    assert not running(asker.fault(BLACKHOLE, "stop", **asked))
    assert all(world.gets_in(task, each, 7001, kind) for each in own)


def test_networks_to_filter_are_matched_with_the_destination(world: World) -> None:
    task, asker = world.run()
    out = hole(7001, "egress", SourcesToFilter=[f"{GATEWAY}/24", f"{GATEWAY}/32"])
    assert running(asker.fault(BLACKHOLE, "start", **out))
    assert world.gets_out(task, GATEWAY, 7001)
    assert world.is_kept_in(task, GATEWAY6, 7001)
    v4, v6 = addresses(task)
    # As on ECS: whom it comes from makes no difference to what comes in.
    into = hole(7002, "ingress", SourcesToFilter=[GATEWAY, GATEWAY6, v6])
    assert running(asker.fault(BLACKHOLE, "start", **into))
    assert world.is_kept_out(task, v4, 7002)
    assert world.gets_in(task, v6, 7002)


def test_blackholes_are_many_and_each_is_its_own(world: World) -> None:
    task, asker = world.run()
    holes = [hole(7001, "egress"), hole(7002, "egress"), hole(7001, "egress", "udp")]
    for each in holes:
        assert running(asker.fault(BLACKHOLE, "start", **each))
    # A second start is no error, and changes nothing.
    assert running(asker.fault(BLACKHOLE, "start", **holes[0], SourcesToFilter=[GATEWAY]))
    assert world.is_kept_in(task, GATEWAY, 7001)
    assert world.is_kept_in(task, GATEWAY, 7002)
    assert not running(asker.fault(BLACKHOLE, "stop", **holes[0]))
    assert not running(asker.fault(BLACKHOLE, "stop", **holes[0]))
    assert world.gets_out(task, GATEWAY, 7001)
    assert world.is_kept_in(task, GATEWAY, 7002)
    assert world.is_kept_in(task, GATEWAY, 7001, UDP)


@pytest.mark.parametrize("port", [80, 51679])
@pytest.mark.parametrize("traffic", ["ingress", "egress"])
def test_the_metadata_endpoint_is_never_hit(world: World, traffic: str, port: int) -> None:
    task, asker = world.run()
    asked = hole(port, traffic)
    assert running(asker.fault(BLACKHOLE, "start", **asked))
    assert asker.told_who_it_is()
    if traffic == "egress":
        assert world.is_kept_in(task, GATEWAY, port)
    elif port == 80:
        assert world.is_kept_out(task, addresses(task)[0], port)
    assert not running(asker.fault(BLACKHOLE, "stop", **asked))
    assert asker.told_who_it_is()


def test_a_blackhole_outlives_the_agent_and_ends_with_the_task(world: World) -> None:
    task, asker = world.run()
    asked = hole(7001, "egress")
    assert running(asker.fault(BLACKHOLE, "start", **asked))
    for end in (world.agent.stop, world.agent.kill9):
        end()
        assert world.is_kept_in(task, GATEWAY, 7001)
        world.agent.start()
        eventually(asker.is_heard, "metadata of the task")
        assert running(asker.fault(BLACKHOLE, "status", **asked))
        assert world.is_kept_in(task, GATEWAY, 7001)
    task.stop()
    task.until_closed()
    assert task.leftovers() == []
    assert not namespace(task).exists()


def test_a_task_whose_definition_does_not_allow_it_has_no_faults(world: World) -> None:
    task, asker = world.run(faults=False)
    status, body = asker.fault(BLACKHOLE, "start", **hole(7001, "egress"))
    assert status == 400
    assert task.arn in body["Error"]
    assert world.gets_out(task, GATEWAY, 7001)


def test_the_limit_is_one_request_in_five_seconds(world: World) -> None:
    _, asker = world.run()
    path = f"{asker.path}/fault/v1/{BLACKHOLE}/status"
    began, answered = time.monotonic(), list[float]()

    def refused() -> bool:
        try:
            status, _ = asker.ask("POST", path, hole(1, "egress"))
        except json.JSONDecodeError:  # what a refusal says is no JSON
            return True
        assert status == 200
        answered.append(time.monotonic())
        return False

    eventually(refused, "a refusal")
    assert 1 <= len(answered) <= 1 + (answered[-1] - began) / 5


def qdiscs(at: Path) -> str:
    words = ["nsenter", f"--net={at}", "tc", "qdisc", "show", "dev", "eth0"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shapes(), reason="this kernel has all that latency and loss need")
def test_a_kernel_without_the_qdiscs_refuses_and_nothing_is_left(world: World) -> None:
    task, asker = world.run()
    before = qdiscs(namespace(task))
    for name, body in ((LATENCY, LATE), (LOSS, {"LossPercent": 100})):
        status, answer = asker.fault(name, "start", **body, Sources=["0.0.0.0/0"])
        assert status == 500
        assert f"start {name}: internal error: the kernel of this host has no " in answer["Error"]
        assert "sch_" in answer["Error"]
        assert "install" in answer["Error"]
        assert qdiscs(namespace(task)) == before
        assert not running(asker.fault(name, "status"))
        assert not running(asker.fault(name, "stop"))
    assert asker.told_who_it_is()


@pytest.mark.skipif(not shapes(), reason=WITHOUT)
def test_loss_and_latency_hit_what_they_are_meant_for(world: World) -> None:
    task, asker = world.run()
    before = qdiscs(namespace(task))
    lost = {"LossPercent": 100, "Sources": ["0.0.0.0/0", GATEWAY6]}
    assert running(asker.fault(LOSS, "start", **lost))
    assert running(asker.fault(LOSS, "status"))
    assert not running(asker.fault(LATENCY, "status"))
    assert world.is_kept_in(task, GATEWAY, 7001, UDP)
    assert world.is_kept_in(task, GATEWAY6, 7001, UDP)
    assert asker.fault(LATENCY, "start", **LATE, Sources=[GATEWAY])[0] == 409
    assert asker.told_who_it_is()
    assert not running(asker.fault(LOSS, "stop"))
    assert qdiscs(namespace(task)) == before
    assert world.gets_out(task, GATEWAY, 7001, UDP)
    exempt = {**lost, "SourcesToFilter": [GATEWAY]}
    assert running(asker.fault(LOSS, "start", **exempt))
    assert world.gets_out(task, GATEWAY, 7001, UDP)
    assert world.is_kept_in(task, GATEWAY6, 7001, UDP)
    assert not running(asker.fault(LOSS, "stop"))
