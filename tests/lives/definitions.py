"""Arbitrary tasks that registration accepts: what containers want of each other, in every mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from agent.task.definition import TaskDefinition, read_task_definition
from agent.task.model import ContainerIdentity, Task
from agent.task.stopping import Rules
from tests import worlds

Fields = dict[str, Any]
"""Of a definition, in the API's words."""

_SOME_OF_THE_TIME = st.sampled_from([True, False, False])


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """A task of one to five containers, in any order, which need only those made before them."""
    mode = draw(st.sampled_from(["bridge", "bridge", "awsvpc", "host", "none"]))
    made: list[Fields] = []
    for number in range(draw(st.integers(1, 5))):
        made.append(draw(_containers(f"c{number}", mode, made)))
    if not any(each["essential"] for each in made):
        made[-1]["essential"] = True
    definition = {
        "family": "life",
        "networkMode": mode,
        "containerDefinitions": draw(st.permutations(made)),
        **draw(_wholes()),
    }
    return _task(read_task_definition(definition).definition, role=draw(st.booleans()))


@st.composite
def _containers(draw: st.DrawFn, name: str, mode: str, others: Sequence[Fields]) -> Fields:
    fields: Fields = {"name": name, "image": draw(st.sampled_from(["one", "two"])), "memory": 64}
    fields["essential"] = draw(st.booleans())
    fields["dependsOn"] = [
        {"containerName": each["name"], "condition": draw(st.sampled_from(_conditions(each)))}
        for each in others
        if draw(st.booleans())
    ]
    if draw(st.booleans()):
        fields["healthCheck"] = {
            "command": ["CMD", "true"],
            "interval": draw(st.sampled_from([5, 30])),
            "retries": draw(st.integers(1, 3)),
            "startPeriod": draw(st.sampled_from([0, 10])),
        }
    if draw(st.booleans()):
        fields["restartPolicy"] = {
            "enabled": True,
            "restartAttemptPeriod": draw(st.sampled_from([60, 300])),
            "ignoredExitCodes": draw(st.sampled_from([[], [0], [42]])),
        }
    if draw(_SOME_OF_THE_TIME):
        fields["stopTimeout"] = draw(st.sampled_from([0, 2, 40]))
    if draw(_SOME_OF_THE_TIME):
        fields["startTimeout"] = draw(st.sampled_from([0, 5, 60]))
    if draw(_SOME_OF_THE_TIME) and others and mode == "bridge":
        fields["links"] = [f"{others[0]['name']}:alias"]
    if draw(_SOME_OF_THE_TIME) and others:
        fields["volumesFrom"] = [{"sourceContainer": others[-1]["name"]}]
    if draw(_SOME_OF_THE_TIME):
        fields["secrets"] = [{"name": "KEY", "valueFrom": "arn"}]
    return fields


def _conditions(target: Fields) -> list[str]:
    """Those that registration accepts."""
    found = ["START"]
    if not target["essential"]:
        found += ["COMPLETE", "SUCCESS"]
    return [*found, "HEALTHY"] if "healthCheck" in target else found


@st.composite
def _wholes(draw: st.DrawFn) -> Fields:
    """Of the task as a whole."""
    fields: Fields = {}
    if draw(_SOME_OF_THE_TIME):
        fields["pidMode"] = "task"
    if draw(_SOME_OF_THE_TIME):
        volume = {"name": "data", "dockerVolumeConfiguration": {"scope": "task"}}
        fields["volumes"] = [volume]
    if draw(st.booleans()):
        fields["taskRoleArn"] = worlds.ROLE
    return fields


def _task(definition: TaskDefinition, *, role: bool) -> Task:
    containers = definition.container_definitions
    made = worlds.task(*containers, mode=definition.network_mode)
    identities = tuple(ContainerIdentity(each.name, each.name, each.name) for each in containers)
    lent = "credentials-1" if role and definition.task_role_arn else ""
    return replace(made, definition=definition, containers=identities, credentials_id=lent)


rules = st.builds(
    Rules,
    stop_timeout_s=st.sampled_from([5.0, 30.0]),
    interface_timeout_s=st.just(60.0),
    credentials_timeout_s=st.just(60.0),
    pull_upfront=st.booleans(),
    pull_strict=st.booleans(),
)
"""The settings that the plan obeys."""
