"""Tasks, steps and log entries as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.fakes.api import Body, FakeApi, Refused

HEAD = "arn:aws:ecs:local:000000000000"
ID = "0123456789abcdef0123456789abcdef"
ARN = f"{HEAD}:task/default/{ID}"
DEFINITION = f"{HEAD}:task-definition/hello:3"
BEGAN = 1_700_000_000.0
CLOCK = "2023-11-14T22:13:20"
"""The second of ``BEGAN``, in UTC."""


def container(name: str, **facts: Any) -> Body:
    return {
        "name": name,
        "lastStatus": "RUNNING",
        "healthStatus": "UNKNOWN",
        "networkBindings": [],
        **facts,
    }


def task(*containers: Body, task_id: str = ID, **facts: Any) -> Body:
    return {
        "taskArn": f"{HEAD}:task/default/{task_id}",
        "taskDefinitionArn": DEFINITION,
        "createdAt": BEGAN,
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "containers": list(containers),
        **facts,
    }


def step(
    ms: float, what: str, name: str = "", detail: str = "", took_s: float | None = None
) -> Body:
    at = BEGAN + ms / 1000
    return {"at": at, "what": what, "container": name, "took_s": took_s, "detail": detail}


def entry(ms: int, text: str, stream: str = "stdout") -> Body:
    return {"time": f"{CLOCK}.{ms:03}000000Z", "stream": stream, "text": text}


def know(api: FakeApi, *tasks: Body) -> None:
    """The agent knows these tasks."""

    def listed(body: Body) -> Body:
        wanted = body["desiredStatus"]
        return {"taskArns": [each["taskArn"] for each in tasks if each["desiredStatus"] == wanted]}

    def described(body: Body) -> Body:
        return {
            "tasks": [each for each in tasks if each["taskArn"] in body["tasks"]],
            "failures": [],
        }

    api.answers |= {"ListTasks": listed, "DescribeTasks": described}


def write(api: FakeApi, **logs: list[Body]) -> None:
    """The containers have written this; each entry is one to the cursor."""

    def read(body: Body) -> Body:
        entries = logs.get(body["container"], [])
        begin = int(body.get("cursor", "").partition(":")[2] or 0)
        return {"entries": entries[begin:], "cursor": f"1:{len(entries)}" if entries else ""}

    api.answers["Hostler.GetLogs"] = read


def happen(
    api: FakeApi, shown: Body, *steps: Body, closed: bool = True, pulls: Sequence[Body] = ()
) -> None:
    """The task's timeline so far, and the pulls that it waits for."""

    def watch(body: Body) -> Body:
        if body["task"] != shown["taskArn"]:
            raise Refused("InvalidParameterException", "The referenced task was not found.")
        new = list(steps[body.get("since", 0) :])
        placed = {"runtimes": {"web": "runc"}, "cgroup": "/hostler/one"}
        return {"task": shown, "steps": new, "closed": closed, "pulls": list(pulls), **placed}

    api.answers["Hostler.WatchTask"] = watch
