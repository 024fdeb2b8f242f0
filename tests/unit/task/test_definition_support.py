"""What is refused as not supported yet."""

from typing import Any

import pytest

from agent.task.definition import read_task_definition, unsupported
from tests.unit.task.test_definition import task, web

ONE = "containerDefinitions[0]"


def volume(**fields: Any) -> dict[str, Any]:
    return task(volumes=[{"name": "v", **fields}])


def efs(**fields: Any) -> dict[str, Any]:
    return volume(efsVolumeConfiguration={"fileSystemId": "fs-1", **fields})


ROWS: list[tuple[dict[str, Any], str]] = [
    (task(web(logConfiguration={"logDriver": "awslogs"})), f"{ONE}.logConfiguration.logDriver"),
    (
        task(web(resourceRequirements=[{"type": "InferenceAccelerator", "value": "eia"}])),
        f"{ONE}.resourceRequirements[0].type",
    ),
    (
        task(web(resourceRequirements=[{"type": "NeuronDevice", "value": "1"}])),
        f"{ONE}.resourceRequirements[0].type",
    ),
    (
        task(
            web(
                resourceRequirements=[
                    {"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}
                ]
            )
        ),
        f"{ONE}.resourceRequirements[0].sharingStrategy",
    ),
    (task(web(credentialSpecs=["credentialspec:file.json"])), f"{ONE}.credentialSpecs"),
    (task(web(firelensConfiguration={"type": "fluentbit"})), f"{ONE}.firelensConfiguration"),
    (
        task(web(dockerSecurityOptions=["no-new-privileges", "credentialspec:f"])),
        f"{ONE}.dockerSecurityOptions[1]",
    ),
    (
        task(networkMode="awsvpc", proxyConfiguration={"containerName": "web"}),
        "proxyConfiguration",
    ),
    (
        task(trustedExecutionConfiguration={"isolationMode": "SHARED", "attestationPolicy": "p"}),
        "trustedExecutionConfiguration.attestationPolicy",
    ),
    (
        task(inferenceAccelerators=[{"deviceName": "a", "deviceType": "eia2.medium"}]),
        "inferenceAccelerators",
    ),
    (
        task(trustedExecutionConfiguration={"isolationMode": "ISOLATED_SANDBOX"}),
        "trustedExecutionConfiguration.isolationMode",
    ),
    (
        task(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2019_CORE"}),
        "runtimePlatform.operatingSystemFamily",
    ),
    (task(ephemeralStorage={"sizeInGiB": 30}), "ephemeralStorage"),
    (
        volume(dockerVolumeConfiguration={"driver": "rexray/ebs"}),
        "volumes[0].dockerVolumeConfiguration.driver",
    ),
    (efs(transitEncryption="ENABLED"), "volumes[0].efsVolumeConfiguration.transitEncryption"),
    (efs(transitEncryptionPort=2049), "volumes[0].efsVolumeConfiguration.transitEncryptionPort"),
    (
        volume(s3filesVolumeConfiguration={"fileSystemArn": "arn:aws:s3files:x"}),
        "volumes[0].s3filesVolumeConfiguration",
    ),
    (
        volume(
            fsxWindowsFileServerVolumeConfiguration={
                "fileSystemId": "fs-1",
                "rootDirectory": "share",
                "authorizationConfig": {"credentialsParameter": "arn", "domain": "d"},
            }
        ),
        "volumes[0].fsxWindowsFileServerVolumeConfiguration",
    ),
    (volume(configuredAtLaunch=True), "volumes[0].configuredAtLaunch"),
]


@pytest.mark.parametrize(("data", "path"), ROWS)
def test_a_feature_without_effect_is_named(data: dict[str, Any], path: str) -> None:
    found = unsupported(read_task_definition(data).definition)
    assert [each.path for each in found] == [path]


def test_efs_with_proof_of_who_mounts_needs_its_helper() -> None:
    data = efs(
        transitEncryption="ENABLED",
        authorizationConfig={"accessPointId": "fsap-1", "iam": "ENABLED"},
    )
    found = unsupported(read_task_definition(data).definition)
    assert [each.path.rpartition("volumes[0].efsVolumeConfiguration.")[2] for each in found] == [
        "transitEncryption",
        "authorizationConfig.accessPointId",
        "authorizationConfig.iam",
    ]


def test_what_is_there_or_is_the_schedulers_is_no_obstacle() -> None:
    data = task(
        web(
            restartPolicy={"enabled": False},
            repositoryCredentials={"credentialsParameter": "login"},
            secrets=[{"name": "A", "valueFrom": "b"}],
            environmentFiles=[{"value": "arn:aws:s3:::bucket/a.env", "type": "s3"}],
            logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}},
        ),
        requiresCompatibilities=["FARGATE"],
        placementConstraints=[{"type": "memberOf", "expression": "a"}],
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        taskRoleArn="arn:aws:iam::111122223333:role/r",
        tags=[{"key": "k", "value": "v"}],
        volumes=[
            {"name": "v", "host": {}},
            {"name": "w", "host": {"sourcePath": "/srv"}},
            {"name": "x", "dockerVolumeConfiguration": {"scope": "shared", "driver": "local"}},
            {"name": "y", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}},
        ],
    )
    assert unsupported(read_task_definition(data).definition) == ()


@pytest.mark.parametrize(
    "data",
    [
        task(networkMode="awsvpc"),
        task(enableFaultInjection=True, networkMode="awsvpc"),
        task(enableFaultInjection=True, networkMode="host"),
        task(enableFaultInjection=True),
        task(web(portMappings=[{"containerPortRange": "1-2"}])),
        task(web(versionConsistency="disabled")),
        task(pidMode="task", ipcMode="task"),
        task(web(links=["b:c"]), web(name="b")),
        task(web(interactive=True, pseudoTerminal=True, disableNetworking=True)),
        task(web(resourceRequirements=[{"type": "GPU", "value": "2"}])),
        task(web(dockerSecurityOptions=["label:type:web_t", "label:disable", "apparmor:web"])),
        task(runtimePlatform={"cpuArchitecture": "ARM64"}),
        task(
            web(systemControls=[{"namespace": "net.core.somaxconn", "value": "512"}]),
            networkMode="awsvpc",
        ),
    ],
)
def test_what_takes_effect_is_not_refused(data: dict[str, Any]) -> None:
    assert unsupported(read_task_definition(data).definition) == ()
