"""docs/task-definition.md says of each field of ECS's API what becomes of it, and that is so.

The fields are those of AWS's own description of the API. Every row is judged by an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from agent.task.definition import (
    DefinitionError,
    Problem,
    apply_overrides,
    read_task_definition,
    unsupported,
)

DOCS = Path(__file__).parents[2] / "docs/task-definition.md"
CONTAINER, VOLUME, OVERRIDES = "containerDefinitions[]", "volumes[]", "overrides"


def web(**fields: Any) -> dict[str, Any]:
    return {"name": "web", "image": "shop/web", "memory": 64, **fields}


def task(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"family": "shop", "containerDefinitions": list(containers or [web()]), **fields}


FULL = web(
    repositoryCredentials={"credentialsParameter": "login"},
    versionConsistency="disabled",
    essential=True,
    entryPoint=["/run"],
    command=["all"],
    workingDirectory="/srv",
    user="web:web",
    environment=[{"name": "A", "value": "1"}],
    environmentFiles=[{"value": "arn:aws:s3:::bucket/a.env", "type": "s3"}],
    secrets=[{"name": "KEY", "valueFrom": "key"}],
    cpu=10,
    memoryReservation=32,
    portMappings=[
        {"containerPort": 80, "hostPort": 0, "protocol": "tcp", "name": "w", "appProtocol": "http"},
        {"containerPortRange": "90-91"},
    ],
    links=["db:store"],
    hostname="shop",
    dnsServers=["192.0.2.1"],
    dnsSearchDomains=["lab.example"],
    extraHosts=[{"hostname": "a", "ipAddress": "192.0.2.2"}],
    interactive=True,
    pseudoTerminal=True,
    privileged=False,
    readonlyRootFilesystem=True,
    dockerLabels={"a": "b"},
    dockerSecurityOptions=["no-new-privileges", "label:type:web_t", "apparmor:web"],
    ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 2}],
    systemControls=[{"namespace": "net.core.somaxconn", "value": "512"}],
    linuxParameters={
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "devices": [{"hostPath": "/dev/a", "containerPath": "/dev/b", "permissions": ["read"]}],
        "initProcessEnabled": True,
        "sharedMemorySize": 64,
        "tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["exec"]}],
        "maxSwap": 0,
        "swappiness": 0,
    },
    healthCheck={
        "command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 0
    },
    dependsOn=[{"containerName": "db", "condition": "START"}],
    startTimeout=10,
    stopTimeout=10,
    restartPolicy={"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
    mountPoints=[{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}],
    volumesFrom=[{"sourceContainer": "db", "readOnly": True}],
    logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}},
    resourceRequirements=[{"type": "GPU", "value": "1"}],
)  # fmt: skip
DATABASE = {**web(), "name": "db"}
ACCEPTED = (
    task(
        FULL,
        DATABASE,
        networkMode="bridge",
        cpu="256",
        memory="512",
        pidMode="task",
        ipcMode="task",
        volumes=[
            {"name": "data", "host": {"sourcePath": "/srv"}},
            {
                "name": "docker",
                "dockerVolumeConfiguration": {
                    "scope": "shared",
                    "autoprovision": True,
                    "driver": "local",
                    "driverOpts": {"type": "tmpfs", "device": "tmpfs"},
                    "labels": {"a": "b"},
                },
            },
            {
                "name": "efs",
                "efsVolumeConfiguration": {
                    "fileSystemId": "fs-01234567",
                    "rootDirectory": "/",
                    "transitEncryption": "DISABLED",
                    "authorizationConfig": {"iam": "DISABLED"},
                },
            },
        ],
        taskRoleArn="arn:aws:iam::111122223333:role/task",
        executionRoleArn="arn:aws:iam::111122223333:role/agent",
        placementConstraints=[{"type": "memberOf", "expression": "a"}],
        requiresCompatibilities=["FARGATE", "EXTERNAL"],
        runtimePlatform={"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        enableFaultInjection=True,
        trustedExecutionConfiguration={"isolationMode": "SHARED"},
        tags=[{"key": "a", "value": "b"}],
    ),
    task(web(disableNetworking=True), networkMode="none"),
)
"""Definitions in which each field that is not refused is used."""

MPS = {"nvidiaMps": {"memory": 1, "maxComputePercent": 1}}
SHARED_GPU = {"type": "GPU", "value": "1", "sharingStrategy": MPS}
REFUSED: dict[str, dict[str, Any]] = {
    "ephemeralStorage": task(ephemeralStorage={"sizeInGiB": 30}),
    "trustedExecutionConfiguration.attestationPolicy": task(
        trustedExecutionConfiguration={"isolationMode": "SHARED", "attestationPolicy": "p"}
    ),
    "proxyConfiguration": task(
        networkMode="awsvpc",
        proxyConfiguration={
            "type": "APPMESH",
            "containerName": "web",
            "properties": [{"name": "IgnoredUID", "value": "1"}],
        },
    ),
    "inferenceAccelerators": task(
        inferenceAccelerators=[{"deviceName": "a", "deviceType": "eia2.medium"}]
    ),
    f"{CONTAINER}.credentialSpecs": task(web(credentialSpecs=["credentialspec:f"])),
    f"{CONTAINER}.logConfiguration.secretOptions": task(
        web(
            logConfiguration={
                "logDriver": "json-file",
                "secretOptions": [{"name": "a", "valueFrom": "b"}],
            }
        )
    ),
    f"{CONTAINER}.firelensConfiguration": task(
        web(firelensConfiguration={"type": "fluentbit", "options": {}})
    ),
    f"{CONTAINER}.resourceRequirements[].sharingStrategy": task(
        web(resourceRequirements=[SHARED_GPU])
    ),
    f"{VOLUME}.efsVolumeConfiguration.transitEncryptionPort": task(
        volumes=[
            {
                "name": "v",
                "efsVolumeConfiguration": {"fileSystemId": "f", "transitEncryptionPort": 2049},
            }
        ]
    ),
    f"{VOLUME}.efsVolumeConfiguration.authorizationConfig.accessPointId": task(
        volumes=[
            {
                "name": "v",
                "efsVolumeConfiguration": {
                    "fileSystemId": "f",
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": "fsap-0"},
                },
            }
        ]
    ),
    f"{VOLUME}.s3filesVolumeConfiguration": task(
        volumes=[
            {
                "name": "v",
                "s3filesVolumeConfiguration": {
                    "fileSystemArn": "a",
                    "rootDirectory": "/",
                    "transitEncryptionPort": 1,
                    "accessPointArn": "b",
                },
            }
        ]
    ),
    f"{VOLUME}.fsxWindowsFileServerVolumeConfiguration": task(
        volumes=[
            {
                "name": "v",
                "fsxWindowsFileServerVolumeConfiguration": {
                    "fileSystemId": "f",
                    "rootDirectory": "r",
                    "authorizationConfig": {"credentialsParameter": "c", "domain": "d"},
                },
            }
        ]
    ),
    f"{VOLUME}.configuredAtLaunch": task(volumes=[{"name": "v", "configuredAtLaunch": True}]),
}
"""For each field that is refused a definition that is accepted without it."""

ACCEPTED_OVERRIDES = {
    "containerOverrides": [
        {
            "name": "web",
            "command": ["other"],
            "environment": [{"name": "A", "value": "2"}],
            "environmentFiles": [{"value": "arn:aws:s3:::bucket/b.env", "type": "s3"}],
            "cpu": 20,
            "memory": 65,
            "memoryReservation": 33,
            "resourceRequirements": [{"type": "GPU", "value": "2"}],
        }
    ],
    "cpu": "512",
    "memory": "1024",
    "taskRoleArn": "arn:aws:iam::111122223333:role/other",
    "executionRoleArn": "arn:aws:iam::111122223333:role/other",
}
REFUSED_OVERRIDES: dict[str, tuple[dict[str, Any], str]] = {
    f"{OVERRIDES}.containerOverrides[].resourceRequirements[].sharingStrategy": (
        {"containerOverrides": [{"name": "web", "resourceRequirements": [SHARED_GPU]}]},
        f"{CONTAINER}.resourceRequirements[].sharingStrategy",
    ),
    f"{OVERRIDES}.ephemeralStorage": (
        {"ephemeralStorage": {"sizeInGiB": 30}},
        "ephemeralStorage",
    ),
    f"{OVERRIDES}.inferenceAcceleratorOverrides": (
        {"inferenceAcceleratorOverrides": [{"deviceName": "a", "deviceType": "b"}]},
        "inferenceAccelerators",
    ),
}
"""The same for overrides, with the field of the definition that is named."""


def fields_of(shape: Any, path: str) -> Iterator[str]:
    """The paths of all fields below a shape of the API."""
    if shape.type_name == "list":
        yield from fields_of(shape.member, f"{path}[]")
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            below = f"{path}.{name}" if path else name
            yield below
            yield from fields_of(member, below)


def fields_in(value: object, path: str) -> Iterator[str]:
    """The paths of all fields that an example uses."""
    if isinstance(value, list):
        for each in value:
            yield from fields_in(each, f"{path}[]")
    elif isinstance(value, dict):
        for name, each in value.items():
            below = f"{path}.{name}" if path else name
            yield below
            yield from fields_in(each, below)


def rows() -> dict[str, str]:
    """By path what the page says; the heading of a table has what its paths begin with."""
    found: dict[str, str] = {}
    head = ""
    for line in DOCS.read_text().splitlines():
        if line.startswith("## "):
            prefix = re.search(r"`(.+)`", line)
            head = f"{prefix[1]}." if prefix else ""
        row = re.fullmatch(r"\| `(\S+)` \| (works|accepted|refused) \|.*\|", line)
        if row:
            path = head + row[1]
            assert path not in found, f"{path} has two rows"
            found[path] = row[2]
    return found


ROWS = rows()


def rows_that_are(*wanted: str) -> set[str]:
    return {path for path in ROWS if ROWS[path] in wanted}


def refused(data: dict[str, Any], overrides: dict[str, Any] | None = None) -> list[str]:
    """The paths, without numbers, of everything that is refused about a definition."""
    problems: tuple[Problem, ...] = ()
    try:
        definition = read_task_definition(data).definition
        if overrides is not None:
            definition = apply_overrides(definition, overrides)
        problems = unsupported(definition)
    except DefinitionError as error:
        problems = error.problems
    return [re.sub(r"\[\d+\]", "[]", each.path) for each in problems]


def test_every_field_of_the_api_has_a_row_and_every_row_is_one() -> None:
    model = botocore.session.get_session().get_service_model("ecs")
    registered = model.operation_model("RegisterTaskDefinition").input_shape
    run = model.shape_for("TaskOverride")
    fields = {*fields_of(registered, ""), *fields_of(run, OVERRIDES)}
    assert fields - set(ROWS) == set(), "fields without a row"
    assert set(ROWS) - fields == set(), "rows of no field"


@pytest.mark.parametrize("data", ACCEPTED)
def test_what_works_and_what_is_accepted_is_not_refused(data: dict[str, Any]) -> None:
    assert refused(data) == []


def test_overrides_that_work_are_not_refused() -> None:
    assert refused(task(), ACCEPTED_OVERRIDES) == []


def test_everything_that_is_not_refused_has_an_example() -> None:
    used = {path for data in ACCEPTED for path in fields_in(data, "")}
    used |= set(fields_in(ACCEPTED_OVERRIDES, OVERRIDES))
    assert rows_that_are("works", "accepted") - used == set()
    assert rows_that_are("refused") & used == set(), "accepted though its row says refused"


@pytest.mark.parametrize("path", sorted(rows_that_are("refused")))
def test_what_is_refused_is_named(path: str) -> None:
    heads = (*REFUSED, *REFUSED_OVERRIDES)
    (head,) = (each for each in heads if f"{path}.".startswith((f"{each}.", f"{each}[")))
    if head in REFUSED:
        assert path in fields_in(REFUSED[head], "")
        assert head in refused(REFUSED[head])
    else:
        overrides, named = REFUSED_OVERRIDES[head]
        assert path in fields_in(overrides, OVERRIDES)
        assert named in refused(task(), overrides)
