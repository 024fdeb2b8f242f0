"""Every outcome of a request for a network fault, with code and body, in the order of checks."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from metadata.agentapi.bodies import LONGEST_MS, MOST_NETWORKS
from metadata.agentapi.faults import (
    RATE,
    AlreadyRunning,
    Blackhole,
    Fault,
    FaultFailed,
    Faults,
    Latency,
    Loss,
    Target,
)
from metadata.front.asking import Asking
from metadata.source import Owner, TaskFacts
from tests.unit.metadata.agentapi.asking import TASK, Agent, Api, Content, told, with_container
from tests.unit.metadata.facts import OWNER, Picture

FAULT = "/api/id-web/fault/v1"
BLACKHOLE = "network-blackhole-port"
LATENCY = "network-latency"
LOSS = "network-packet-loss"
EVERY = (BLACKHOLE, LATENCY, LOSS)

HOLE = {"Port": 8080, "Protocol": "tcp", "TrafficType": "egress"}
LATE = {"DelayMilliseconds": 200, "JitterMilliseconds": 50, "Sources": ["10.0.0.0/8"]}
LOST = {"LossPercent": 6, "Sources": ["2001:db8::1"]}
BODIES: dict[str, dict[str, Any]] = {BLACKHOLE: HOLE, LATENCY: LATE, LOSS: LOST}


async def answered(api: Api, name: str, operation: str, body: object = None) -> tuple[int, Any]:
    return told(await api.ask("POST", f"{FAULT}/{name}/{operation}", body))


def refused(answer: tuple[int, Any], status: int, *words: str) -> None:
    assert answer[0] == status
    assert answer[1].keys() == {"Error"}
    for word in words:
        assert word in answer[1]["Error"]


ASKED: list[tuple[str, dict[str, Any], Fault]] = [
    (BLACKHOLE, HOLE, Blackhole(8080, "tcp", "egress")),
    (
        BLACKHOLE,
        {"Port": 0, "Protocol": "udp", "TrafficType": "ingress", "SourcesToFilter": None},
        Blackhole(0, "udp", "ingress"),
    ),
    (
        BLACKHOLE,
        {**HOLE, "Port": 65535, "SourcesToFilter": ["10.1.2.3", "10.9.9.9/8", "::1", "fe80::/10"]},
        Blackhole(
            65535,
            "tcp",
            "egress",
            tuple(map(ip_network, ("10.1.2.3", "10.0.0.0/8", "::1", "fe80::/10"))),
        ),
    ),
    (LATENCY, LATE, Latency(200, 50, Target((ip_network("10.0.0.0/8"),)))),
    (
        LATENCY,
        {**LATE, "JitterMilliseconds": 0, "FlowsPercent": 7, "SourcesToFilter": ["10.1.0.0/16"]},
        Latency(200, 0, Target((ip_network("10.0.0.0/8"),), (ip_network("10.1.0.0/16"),), 7)),
    ),
    (LOSS, LOST, Loss(6, Target((ip_network("2001:db8::1"),)))),
    (
        LOSS,
        {**LOST, "FlowsPercent": None, "SourcesToFilter": [], "Unknown": {"keys": "are ignored"}},
        Loss(6, Target((ip_network("2001:db8::1"),))),
    ),
]


@pytest.mark.parametrize(("name", "body", "fault"), ASKED)
async def test_a_fault_is_started(name: str, body: dict[str, Any], fault: Fault) -> None:
    api = Api()
    assert await answered(api, name, "start", body) == (200, {"Status": "running"})
    assert api.agent.asked == [("start", TASK.arn, fault)]


@pytest.mark.parametrize(("name", "body", "fault"), ASKED)
@pytest.mark.parametrize("spelt", [str.lower, str.upper])
async def test_names_may_come_in_any_case(
    name: str, body: dict[str, Any], fault: Fault, spelt: Callable[[str], str]
) -> None:
    api = Api()
    shouted = {spelt(parameter): value for parameter, value in body.items()}
    assert await answered(api, name, "start", shouted) == (200, {"Status": "running"})
    assert api.agent.asked == [("start", TASK.arn, fault)]


@pytest.mark.parametrize("name", EVERY)
async def test_a_fault_is_stopped_whether_it_ran_or_not(name: str) -> None:
    answer = await answered(Api(), name, "stop", BODIES[name])
    assert answer == (200, {"Status": "stopped"})


@pytest.mark.parametrize(("runs", "status"), [(True, "running"), (False, "not-running")])
@pytest.mark.parametrize("name", EVERY)
async def test_whether_a_fault_runs(name: str, runs: bool, status: str) -> None:
    answer = await answered(Api(Agent(runs=runs)), name, "status", BODIES[name])
    assert answer == (200, {"Status": status})


@pytest.mark.parametrize("body", [None, b"{", {"DelayMilliseconds": "none"}])
@pytest.mark.parametrize("operation", ["stop", "status"])
async def test_of_latency_and_loss_the_body_counts_for_the_start_only(
    operation: str, body: object
) -> None:
    for name, fault in ((LATENCY, Latency()), (LOSS, Loss())):
        api = Api()
        assert (await answered(api, name, operation, body))[0] == 200
        assert [each[1:] for each in api.agent.asked] == [(TASK.arn, fault)]


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (BLACKHOLE, {"Port": None}, "Port"),
    (BLACKHOLE, {"Port": "80"}, "Port"),
    (BLACKHOLE, {"Port": -1}, "Port"),
    (BLACKHOLE, {"Port": 65536}, "Port"),
    (BLACKHOLE, {"Port": 80.5}, "Port"),
    (BLACKHOLE, {"Protocol": "icmp"}, "Protocol"),
    (BLACKHOLE, {"Protocol": "TCP"}, "Protocol"),
    (BLACKHOLE, {"TrafficType": "both"}, "TrafficType"),
    (BLACKHOLE, {"SourcesToFilter": "10.0.0.1"}, "SourcesToFilter"),
    (BLACKHOLE, {"SourcesToFilter": ["here"]}, "SourcesToFilter.0"),
    (BLACKHOLE, {"SourcesToFilter": ["10.0.0.1", 7]}, "SourcesToFilter.1"),
    (BLACKHOLE, {"SourcesToFilter": ["10.0.0.0/33"]}, "SourcesToFilter.0"),
    (BLACKHOLE, {"SourcesToFilter": ["10.0.0.0/255.0.0.0"]}, "SourcesToFilter.0"),
    (BLACKHOLE, {"SourcesToFilter": ["fe80::1%eth0"]}, "SourcesToFilter.0"),
    (BLACKHOLE, {"SourcesToFilter": ["10.0.0.1\n"]}, "SourcesToFilter.0"),
    (LATENCY, {"DelayMilliseconds": None}, "DelayMilliseconds"),
    (LATENCY, {"JitterMilliseconds": -1}, "JitterMilliseconds"),
    (LATENCY, {"DelayMilliseconds": LONGEST_MS + 1}, "DelayMilliseconds"),
    (LATENCY, {"DelayMilliseconds": 0, "JitterMilliseconds": 0}, "must not both be 0"),
    (LATENCY, {"Sources": []}, "Sources"),
    (LATENCY, {"Sources": None}, "Sources"),
    (LATENCY, {"Sources": ["10.0.0"]}, "Sources.0"),
    (LATENCY, {"Sources": ["10.0.0.1"] * (MOST_NETWORKS + 1)}, "Sources"),
    (LATENCY, {"FlowsPercent": 0}, "FlowsPercent"),
    (LATENCY, {"FlowsPercent": 101}, "FlowsPercent"),
    (LOSS, {"LossPercent": 0}, "LossPercent"),
    (LOSS, {"LossPercent": 101}, "LossPercent"),
    (LOSS, {"LossPercent": None}, "LossPercent"),
    (LOSS, {"Sources": []}, "Sources"),
    (LOSS, {"FlowsPercent": 1.5}, "FlowsPercent"),
]


@pytest.mark.parametrize(("name", "wrong", "where"), WRONG)
async def test_an_invalid_parameter_is_named(name: str, wrong: dict[str, Any], where: str) -> None:
    api = Api()
    refused(await answered(api, name, "start", {**BODIES[name], **wrong}), 400, where, name)
    assert api.agent.asked == []


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, each) for name in EVERY for each in BODIES[name]]
)
async def test_a_missing_parameter_is_named(name: str, parameter: str) -> None:
    body = {key: each for key, each in BODIES[name].items() if key != parameter}
    refused(await answered(Api(), name, "start", body), 400, parameter, "required")


@pytest.mark.parametrize("operation", ["start", "stop", "status"])
@pytest.mark.parametrize("parameter", ["Port", "Protocol", "TrafficType"])
async def test_a_blackhole_is_named_by_three_parameters(operation: str, parameter: str) -> None:
    body = {key: each for key, each in HOLE.items() if key != parameter}
    refused(await answered(Api(), BLACKHOLE, operation, body), 400, parameter)


@pytest.mark.parametrize("body", [None, b"  ", b"{", b"null", [], b"\xff", b" " * 70_000])
@pytest.mark.parametrize("name", EVERY)
async def test_a_body_that_is_none(name: str, body: object) -> None:
    refused(await answered(Api(), name, "start", body), 400, f"start {name}: ")


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metadata.front.asking.BODY_TIMEOUT_S", 0.01)
    path = f"{FAULT}/{BLACKHOLE}/start"
    asking = Asking(OWNER, "POST", path, content=Content(b"", stuck=True))
    refused(told(await Api().room.answer(asking)), 400, "did not come")


async def test_an_unknown_id_comes_after_the_body() -> None:
    api = Api(tasks=[])
    refused(await answered(api, LATENCY, "start", {}), 400)
    refused(await answered(api, LATENCY, "start", LATE), 404, "'id-web'")
    assert api.agent.asked == []


async def test_an_id_of_another_owner_is_unknown() -> None:
    """Even when the source would give it away."""
    api = Api()
    path = f"{FAULT}/{BLACKHOLE}/start"
    answer = told(await api.ask("POST", path, HOLE, owner=Owner("task-two")))
    refused(answer, 404)
    assert TASK.arn not in str(answer)
    assert api.agent.asked == []


@pytest.mark.parametrize(
    ("task", "status", "word"),
    [
        (with_container(docker_id=""), 404, "no container"),
        (replace(TASK, fault_injection=False), 400, TASK.arn),
        (replace(TASK, fault_injection=False, network_mode="bridge"), 400, TASK.arn),
        (with_container(networks=None), 500, "no network configuration"),
        (with_container(networks=()), 500, "no network configuration"),
        (replace(TASK, network_mode="bridge"), 500, "no network configuration"),
        (replace(TASK, network_mode="none"), 400, "network mode none"),
    ],
)
@pytest.mark.parametrize("operation", ["start", "stop", "status"])
@pytest.mark.parametrize("name", EVERY)
async def test_a_task_that_can_have_no_faults(
    name: str, operation: str, task: TaskFacts, status: int, word: str
) -> None:
    api = Api(tasks=[task])
    refused(await answered(api, name, operation, BODIES[name]), status, word)
    assert api.agent.asked == []


async def test_a_task_in_host_mode_can_have_faults() -> None:
    api = Api(tasks=[replace(TASK, network_mode="host")])
    assert (await answered(api, BLACKHOLE, "start", HOLE))[0] == 200


@pytest.mark.parametrize("name", [LATENCY, LOSS])
async def test_latency_and_loss_exclude_each_other(name: str) -> None:
    api = Api(Agent(fails=AlreadyRunning("there is latency already")))
    refused(await answered(api, name, "start", BODIES[name]), 409, "there is latency already")


@pytest.mark.parametrize("operation", ["start", "stop", "status"])
@pytest.mark.parametrize("name", EVERY)
async def test_what_the_agent_can_not_do(name: str, operation: str) -> None:
    api = Api(Agent(fails=FaultFailed("the kernel has no qdisc")))
    answer = await answered(api, name, operation, BODIES[name])
    refused(answer, 500, f"{operation} {name}: internal error: the kernel has no qdisc")


@pytest.mark.parametrize("operation", ["start", "stop", "status"])
@pytest.mark.parametrize("name", EVERY)
async def test_what_takes_too_long(name: str, operation: str) -> None:
    api = Api(Agent(stuck=True), deadline_s=0.01)
    async with asyncio.timeout(5):
        answer = await answered(api, name, operation, BODIES[name])
    assert answer == (500, {"Error": f"{operation} {name}: request timed out"})


async def test_a_deadline_of_the_agents_own_is_a_timeout_as_well() -> None:
    api = Api(Agent(fails=TimeoutError()))
    answer = await answered(api, LOSS, "start", LOST)
    assert answer == (500, {"Error": f"start {LOSS}: request timed out"})


def test_too_long_is_five_seconds_and_too_often_twice_in_five() -> None:
    faults = Faults(Picture([]), Agent())
    assert faults._deadline_s == 5.0
    assert faults._buckets.rate == RATE
    assert (RATE.per_second, RATE.burst) == (0.2, 1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_second_request_within_five_seconds_is_too_many() -> None:
    clock = Clock()
    api = Api(rate=RATE, now=clock)
    path = f"{FAULT}/{BLACKHOLE}/start"
    for now, status in ((0.0, 200), (4.9, 429), (5.0, 200), (5.1, 429), (9.9, 429), (10.0, 200)):
        clock.now = now
        answer = await api.ask("POST", path, HOLE)
        assert (now, answer.status) == (now, status)
        if status == 429:
            assert answer.body == b"You have reached maximum request limit."
            assert answer.content_type == "text/plain; charset=utf-8"
    assert len(api.agent.asked) == 3


async def test_the_limit_is_for_each_operation_fault_and_owner() -> None:
    api = Api(rate=RATE)
    start = f"{FAULT}/{LATENCY}/start"
    assert (await api.ask("POST", start, LATE)).status == 200
    assert (await api.ask("POST", start, LATE, remote="169.254.170.2:40001")).status == 429
    assert (await api.ask("POST", f"{FAULT}/{LATENCY}/stop")).status == 200
    assert (await api.ask("POST", f"{FAULT}/{LOSS}/start", LOST)).status == 200
    # Whoever asks has all of 127/8 to ask from.
    assert (await api.ask("POST", start, LATE, remote="127.0.0.7:40000")).status == 429
    stranger = await api.ask("POST", start, LATE, owner=Owner("task-two"), remote="10.0.0.7:1")
    assert stranger.status == 404  # and not 429: nobody uses up what is another's


async def test_a_request_that_is_refused_counts() -> None:
    api = Api(rate=RATE)
    path = f"{FAULT}/{BLACKHOLE}/start"
    assert (await api.ask("POST", path, b"{")).status == 400
    assert (await api.ask("POST", path, HOLE)).status == 429


async def test_a_wrong_method_does_not_count() -> None:
    api = Api(rate=RATE)
    path = f"{FAULT}/{BLACKHOLE}/start"
    assert (await api.ask("GET", path)).status == 405
    assert (await api.ask("POST", path, HOLE)).status == 200


async def test_unknown_ids_cost_one_that_is_known_no_bucket() -> None:
    api = Api(rate=RATE)
    path = f"{FAULT}/{BLACKHOLE}/start"
    assert (await api.ask("POST", path, HOLE)).status == 200
    for number in range(1100):
        unknown = f"/api/{number}/fault/v1/{BLACKHOLE}/start"
        assert (await api.ask("POST", unknown, HOLE)).status == 404
    assert (await api.ask("POST", path, HOLE)).status == 429


async def test_of_thousands_of_wrong_networks_the_first_is_told() -> None:
    body = {**HOLE, "SourcesToFilter": [""] * 12_000}
    answer = await Api().ask("POST", f"{FAULT}/{BLACKHOLE}/start", body)
    assert (answer.status, b"SourcesToFilter.0:" in answer.body) == (400, True)
    assert len(answer.body) < 200
