"""Tests of the agent API's answers, every code of its tables, against the OpenAPI description."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from metadata.agentapi.faults import AlreadyRunning, FaultFailed
from metadata.agentapi.protection import Failed, Protected, Refused, Unprotectable
from metadata.front import later
from metadata.front.limits import Rate
from metadata.source import TaskFacts
from tests.unit.metadata.agentapi.asking import HURRY, TASK, Agent, Api
from tests.unit.metadata.conftest import Serve
from tests.unit.metadata.contract import METADATA
from tests.unit.metadata.facts import Picture, at
from tests.unit.metadata.judging import receive

STATE = "/api/id-web/task-protection/v1/state"
FAULTS = "/api/id-web/fault/v1"
ON = {"ProtectionEnabled": True, "ExpiresInMinutes": 7}
BLACKHOLE = {"Port": 80, "Protocol": "tcp", "TrafficType": "egress"}
LATENCY = {"DelayMilliseconds": 5, "JitterMilliseconds": 0, "Sources": ["10.0.0.0/8"]}
LOSS = {"LossPercent": 5, "Sources": ["10.0.0.0/8"]}


@dataclass(frozen=True)
class Case:
    """One request, by what the agent then does, and the code that it has."""

    status: int
    method: str
    path: str
    body: Any = None
    agent: Agent = field(default_factory=Agent)
    task: TaskFacts = TASK
    rate: Rate = HURRY


NEVER = Rate(per_second=1e-9, burst=0)
NO_FAULTS = replace(TASK, fault_injection=False)
BRIDGE = replace(TASK, network_mode="bridge")

PROTECTION = [
    Case(200, "get", STATE),
    Case(200, "get", STATE, agent=Agent(answer=Protected(at()))),
    Case(200, "put", STATE, ON),
    Case(200, "put", STATE, ON, Agent(answer=Unprotectable("TASK_NOT_VALID"))),
    Case(400, "put", STATE, {}),
    Case(400, "put", STATE, ON, Agent(fails=Refused(400, "InvalidParameterException", "no", "r"))),
    Case(403, "get", STATE, task=replace(TASK, role=None)),
    Case(404, "get", STATE.replace("id-web", "nobody")),
    Case(405, "post", STATE),
    Case(500, "get", STATE, agent=Agent(fails=Failed("no"))),
    Case(504, "put", STATE, ON, Agent(stuck=True)),
]
FAULT = [
    Case(200, "post", f"{FAULTS}/network-blackhole-port/{verb}", BLACKHOLE)
    for verb in ("start", "stop", "status")
] + [
    *(Case(200, "post", f"{FAULTS}/network-latency/{verb}", LATENCY) for verb in ("start", "stop")),
    *(
        Case(200, "post", f"{FAULTS}/network-packet-loss/{verb}", LOSS)
        for verb in ("start", "stop")
    ),
    Case(200, "post", f"{FAULTS}/network-latency/status", agent=Agent(runs=True)),
    Case(200, "post", f"{FAULTS}/network-packet-loss/status"),
    Case(400, "post", f"{FAULTS}/network-packet-loss/start"),
    Case(400, "post", f"{FAULTS}/network-latency/start", LATENCY, task=NO_FAULTS),
    Case(404, "post", f"{FAULTS}/network-latency/stop".replace("id-web", "nobody")),
    Case(405, "get", f"{FAULTS}/network-latency/status"),
    Case(
        409, "post", f"{FAULTS}/network-latency/start", LATENCY, Agent(fails=AlreadyRunning("it"))
    ),
    Case(429, "post", f"{FAULTS}/network-latency/stop", rate=NEVER),
    Case(500, "post", f"{FAULTS}/network-latency/stop", task=BRIDGE),
    Case(500, "post", f"{FAULTS}/network-latency/stop", agent=Agent(fails=FaultFailed("no"))),
    Case(500, "post", f"{FAULTS}/network-latency/stop", agent=Agent(stuck=True)),
]


@pytest.mark.parametrize(
    "case", [*PROTECTION, *FAULT], ids=lambda case: f"{case.status}{case.path}"
)
async def test_an_answer_is_as_described(case: Case, serve: Serve) -> None:
    api = Api(case.agent, [case.task], case.rate, deadline_s=0.05 if case.agent.stuck else 5.0)
    session = await serve(Picture([case.task]), agent_api=api.room)
    data = None if case.body is None else json.dumps(case.body).encode()
    answer = await receive(session, case.path, case.method, data=data)
    assert answer.status == case.status
    described = replace(answer, method=METADATA.methods(METADATA.template_of(case.path))[0])
    assert METADATA.breaches(answer if case.status != 405 else described) == []


async def test_an_agent_that_is_still_starting_is_described(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "_PATIENCE_S", 0.01)
    session = await serve(Picture([TASK]))
    for path, method in ((STATE, "put"), (f"{FAULTS}/network-latency/start", "post")):
        answer = await receive(session, path, method)
        assert answer.status == 503
        assert METADATA.breaches(answer) == []


def test_every_code_has_a_case() -> None:
    """But for those that all paths have."""
    for cases, path in ((PROTECTION, STATE), (FAULT, f"{FAULTS}/network-latency/start")):
        template = METADATA.templates[METADATA.template_of(path)]
        codes = {
            int(each)
            for method in METADATA.methods(METADATA.template_of(path))
            for each in template[method]["responses"]
        }
        assert codes - {case.status for case in cases} <= {301, 429, 503}
