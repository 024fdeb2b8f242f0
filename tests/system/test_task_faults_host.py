"""Network faults of tasks in host mode, on a host of the test's own: they meet all there is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from cni.portmap.mappings import Protocol
from tests.system import netlab
from tests.system.agent import Agent
from tests.system.agentapi import SAYS_WHERE, Asker
from tests.system.netlab import OUTSIDE, Lab
from tests.system.tasknet import sealed_agent
from tests.system.tasks import DEADLINE_S, Task, run, shell
from tests.system.vpclab import REFUSED_S

BLACKHOLE = "network-blackhole-port"
HOLE = {"Port": 7001, "Protocol": "tcp", "TrafficType": "egress"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with netlab.lab(tmp_path_factory.mktemp("hostfaults")) as lab:
        yield lab


@pytest.fixture(scope="module")
def agent(lab: Lab) -> Iterator[Agent]:
    with sealed_agent(lab) as agent:
        yield agent


def host_task(lab: Lab, agent: Agent) -> tuple[Task, Asker]:
    task = run(agent, shell("app", SAYS_WHERE), networkMode="host", enableFaultInjection=True)
    task.until_running()
    (uri, *_) = task.until_log("app")
    return task, Asker(lab.threads, lab.host, uri)


@pytest.fixture(scope="module")
def outside(lab: Lab) -> Iterator[Callable[..., bool]]:
    """Whether the host reaches a port outside."""
    with contextlib.ExitStack() as stack:
        ports = {
            port: stack.enter_context(lab.listen(lab.outside, Protocol.TCP, port))
            for port in (7001, 7002)
        }

        def reached(port: int, patience_s: float = DEADLINE_S) -> bool:
            try:
                lab.talk(lab.host, (OUTSIDE.ip, port), ports[port], patience_s)
            except OSError:
                return False
            return True

        yield reached


def test_a_blackhole_meets_the_whole_host_until_it_stops(
    lab: Lab, agent: Agent, outside: Callable[..., bool]
) -> None:
    task, asker = host_task(lab, agent)
    assert outside(7001)
    assert asker.fault(BLACKHOLE, "start", **HOLE) == (200, {"Status": "running"})
    assert not outside(7001, REFUSED_S)
    assert outside(7002)
    other, another = host_task(lab, agent)
    assert another.fault(BLACKHOLE, "status", **HOLE) == (200, {"Status": "running"})
    assert another.fault(BLACKHOLE, "stop", **HOLE) == (200, {"Status": "stopped"})
    assert outside(7001)
    for each in (task, other):
        each.end()


def test_without_a_default_route_there_is_nothing_to_delay(lab: Lab, agent: Agent) -> None:
    task, asker = host_task(lab, agent)
    late = {"DelayMilliseconds": 100, "JitterMilliseconds": 0, "Sources": ["192.0.2.2"]}
    status, body = asker.fault("network-latency", "start", **late)
    assert status == 500
    assert "no default route" in body["Error"]
    assert asker.fault("network-latency", "status") == (200, {"Status": "not-running"})
    task.end()


def test_faults_on_the_host_end_with_an_agent_that_has_no_tasks(
    lab: Lab, outside: Callable[..., bool]
) -> None:
    with sealed_agent(lab) as agent:
        task, asker = host_task(lab, agent)
        assert asker.fault(BLACKHOLE, "start", **HOLE) == (200, {"Status": "running"})
        lab.host_thread.submit(agent.restart).result(60)
        assert not outside(7001, REFUSED_S)
        task.end()
        assert not outside(7001, REFUSED_S)
    assert outside(7001)
