"""The limits of ECS: each row breaks one, and the path of the problem is what must come out."""

from typing import Any

import pytest

from agent.task.definition import read_task_definition
from tests.unit.task.test_definition import problems, task, web

CHECK = {"command": ["CMD", "true"]}

CONTAINER_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name"),
    ({"name": ""}, "name"),
    ({"name": "x" * 256}, "name"),
    ({"image": ""}, "image"),
    ({"image": "a b"}, "image"),
    ({"versionConsistency": "sometimes"}, "versionConsistency"),
    ({"cpu": -1}, "cpu"),
    ({"memory": 5}, "memory"),
    ({"memory": 10, "memoryReservation": 11}, "memoryReservation"),
    (
        {"repositoryCredentials": {"credentialsParameter": ""}},
        "repositoryCredentials.credentialsParameter",
    ),
    (
        {"repositoryCredentials": {"credentialsParameter": "a" * 2049}},
        "repositoryCredentials.credentialsParameter",
    ),
    ({"hostname": "a_b"}, "hostname"),
    ({"workingDirectory": "tmp"}, "workingDirectory"),
    ({"user": "a:b:c"}, "user"),
    ({"stopTimeout": -1}, "stopTimeout"),
    ({"startTimeout": -1}, "startTimeout"),
    ({"environment": [{"name": "A"}, {"name": "B=C"}]}, "environment[1].name"),
    ({"secrets": [{"name": "", "valueFrom": "x"}]}, "secrets[0].name"),
    (
        {"restartPolicy": {"enabled": True, "restartAttemptPeriod": 59}},
        "restartPolicy.restartAttemptPeriod",
    ),
    (
        {"restartPolicy": {"enabled": True, "ignoredExitCodes": [1] * 51}},
        "restartPolicy.ignoredExitCodes",
    ),
    ({"healthCheck": {"command": ["true"]}}, "healthCheck.command"),
    ({"healthCheck": {"command": ["CMD-SHELL"]}}, "healthCheck.command"),
    ({"healthCheck": {**CHECK, "interval": 4}}, "healthCheck.interval"),
    ({"healthCheck": {**CHECK, "timeout": 61}}, "healthCheck.timeout"),
    ({"healthCheck": {**CHECK, "retries": 0}}, "healthCheck.retries"),
    ({"healthCheck": {**CHECK, "startPeriod": 301}}, "healthCheck.startPeriod"),
    ({"portMappings": [{}]}, "portMappings[0]"),
    ({"portMappings": [{"containerPort": 1, "containerPortRange": "1-2"}]}, "portMappings[0]"),
    ({"portMappings": [{"containerPort": 0}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": 65536}]}, "portMappings[0].containerPort"),
    ({"portMappings": [{"containerPort": 1, "hostPort": 65536}]}, "portMappings[0].hostPort"),
    ({"portMappings": [{"containerPort": 1, "protocol": "sctp"}]}, "portMappings[0].protocol"),
    ({"portMappings": [{"containerPort": 1, "name": "-a"}]}, "portMappings[0].name"),
    ({"portMappings": [{"containerPortRange": "9-8"}]}, "portMappings[0].containerPortRange"),
    ({"portMappings": [{"containerPortRange": "1-101"}]}, "portMappings"),
    (
        {"portMappings": [{"containerPortRange": "1-5"}, {"containerPortRange": "5-9"}]},
        "portMappings[1].containerPortRange",
    ),
    ({"dnsServers": ["dns"]}, "dnsServers[0]"),
    ({"extraHosts": [{"hostname": "db", "ipAddress": "db"}]}, "extraHosts[0].ipAddress"),
    ({"extraHosts": [{"hostname": "a b", "ipAddress": "::1"}]}, "extraHosts[0].hostname"),
    (
        {"mountPoints": [{"sourceVolume": "v", "containerPath": "a"}]},
        "mountPoints[0].containerPath",
    ),
    (
        {"mountPoints": [{"sourceVolume": "v", "containerPath": "/a"}] * 2},
        "mountPoints[1].containerPath",
    ),
    (
        {"mountPoints": [{"sourceVolume": "w", "containerPath": "/a"}]},
        "mountPoints[0].sourceVolume",
    ),
    ({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{"name": "nofile", "softLimit": -1, "hardLimit": 1}]}, "ulimits[0].softLimit"),
    ({"ulimits": [{"name": "files", "softLimit": 1, "hardLimit": 1}]}, "ulimits[0].name"),
    ({"ulimits": [{"name": "core", "softLimit": 1, "hardLimit": 1}] * 2}, "ulimits[1].name"),
    ({"dockerSecurityOptions": ["seccomp=x"]}, "dockerSecurityOptions[0]"),
    (
        {"systemControls": [{"namespace": "kernel.panic", "value": "1"}]},
        "systemControls[0].namespace",
    ),
    (
        {"linuxParameters": {"capabilities": {"add": ["CAP_KILL"]}}},
        "linuxParameters.capabilities.add[0]",
    ),
    (
        {"linuxParameters": {"capabilities": {"drop": ["kill"]}}},
        "linuxParameters.capabilities.drop[0]",
    ),
    ({"linuxParameters": {"devices": [{"hostPath": "x"}]}}, "linuxParameters.devices[0].hostPath"),
    (
        {"linuxParameters": {"devices": [{"hostPath": "/x", "permissions": ["rw"]}]}},
        "linuxParameters.devices[0].permissions[0]",
    ),
    (
        {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 0}]}},
        "linuxParameters.tmpfs[0].size",
    ),
    (
        {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["x"]}]}},
        "linuxParameters.tmpfs[0].mountOptions[0]",
    ),
    (
        {
            "linuxParameters": {
                "tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["exec", "rbind"]}]
            }
        },
        "linuxParameters.tmpfs[0].mountOptions[1]",
    ),
    ({"linuxParameters": {"maxSwap": -1}}, "linuxParameters.maxSwap"),
    ({"linuxParameters": {"swappiness": 101}}, "linuxParameters.swappiness"),
    ({"linuxParameters": {"sharedMemorySize": 0}}, "linuxParameters.sharedMemorySize"),
    ({"links": ["db:data"]}, "links[0]"),
    ({"disableNetworking": True, "portMappings": [{"containerPort": 1}]}, "portMappings"),
    ({"dockerSecurityOptions": ["label:x"]}, "dockerSecurityOptions[0]"),
    ({"dockerSecurityOptions": ["label:type:"]}, "dockerSecurityOptions[0]"),
    (
        {"resourceRequirements": [{"type": "GPU", "value": "0"}]},
        "resourceRequirements[0].value",
    ),
    (
        {"resourceRequirements": [{"type": "GPU", "value": "half"}]},
        "resourceRequirements[0].value",
    ),
    ({"resourceRequirements": [{"type": "GPU"}]}, "resourceRequirements[0].value"),
    (
        {"resourceRequirements": [{"type": "GPU", "value": "1"}] * 2},
        "resourceRequirements[1].type",
    ),
    ({"volumesFrom": [{"sourceContainer": "db"}]}, "volumesFrom[0].sourceContainer"),
    ({"dependsOn": [{"containerName": "wob", "condition": "START"}]}, "dependsOn[0].containerName"),
    ({"dependsOn": [{"containerName": "web", "condition": "ALIVE"}]}, "dependsOn[0].condition"),
]


@pytest.mark.parametrize(("fields", "path"), CONTAINER_ROWS)
def test_a_limit_of_a_container_is_kept(fields: dict[str, Any], path: str) -> None:
    found = problems(task(web(**fields), volumes=[{"name": "v"}]))
    assert list(found) == [f"containerDefinitions[0].{path}"]


def port(number: int, **fields: Any) -> dict[str, Any]:
    return {"portMappings": [{"containerPort": number, **fields}]}


def waits(name: str, condition: str) -> dict[str, Any]:
    return {"dependsOn": [{"containerName": name, "condition": condition}]}


ONE = "containerDefinitions[0]"
TASK_ROWS: list[tuple[dict[str, Any], str]] = [
    (task(family="a b"), "family"),
    ({"family": "f", "containerDefinitions": []}, "containerDefinitions"),
    (task(web(essential=False)), "containerDefinitions"),
    (task(web(), web()), "containerDefinitions[1].name"),
    (task(web(memory=None)), f"{ONE}.memory"),
    (task(cpu="64"), "cpu"),
    (task(memory="32"), f"{ONE}.memory"),
    (task(web(**port(80, hostPort=8080)), networkMode="host"), f"{ONE}.portMappings[0].hostPort"),
    (task(web(**port(80, hostPort=0)), networkMode="awsvpc"), f"{ONE}.portMappings[0].hostPort"),
    (task(web(**port(80)), networkMode="none"), f"{ONE}.portMappings"),
    (task(web(hostname="a"), networkMode="awsvpc"), f"{ONE}.hostname"),
    (
        task(web(**port(80, hostPort=80)), web(name="b", **port(81, hostPort=80))),
        "containerDefinitions[1].portMappings[0].hostPort",
    ),
    (task(web(links=["b"]), web(name="b"), networkMode="host"), f"{ONE}.links"),
    (task(web(disableNetworking=True), networkMode="host"), f"{ONE}.disableNetworking"),
    (task(web(disableNetworking=True), networkMode="awsvpc"), f"{ONE}.disableNetworking"),
    (task(web(disableNetworking=True, links=["b"]), web(name="b")), f"{ONE}.links"),
    (task(web(links=["b"]), web(name="b", disableNetworking=True)), f"{ONE}.links[0]"),
    (task(web(links=["b:"]), web(name="b")), f"{ONE}.links[0]"),
    (task(web(links=["b:c.d"]), web(name="b")), f"{ONE}.links[0]"),
    (task(web(links=["b:c:d"]), web(name="b")), f"{ONE}.links[0]"),
    (task(web(links=["b", "b"]), web(name="b")), f"{ONE}.links[1]"),
    (task(web(links=["b:x", "c:x"]), web(name="b"), web(name="c")), f"{ONE}.links[1]"),
    (task(web(links=["web"])), "containerDefinitions"),
    (task(web(**waits("b", "HEALTHY")), web(name="b")), f"{ONE}.dependsOn[0].condition"),
    (task(web(**waits("b", "SUCCESS")), web(name="b")), f"{ONE}.dependsOn[0].condition"),
    (
        task(web(**waits("b", "START")), web(name="b", **waits("web", "START"))),
        "containerDefinitions",
    ),
    (task(web(**waits("web", "START"))), "containerDefinitions"),
    (task(web(), volumes=[{"name": "v"}, {"name": "v"}]), "volumes[0].name"),
    (task(web(), volumes=[{"name": "v v"}]), "volumes[0].name"),
    (
        task(web(), volumes=[{"name": "v", "host": {"sourcePath": "x"}}]),
        "volumes[0].host.sourcePath",
    ),
    (
        task(web(), volumes=[{"name": "v", "dockerVolumeConfiguration": {"autoprovision": True}}]),
        "volumes[0].dockerVolumeConfiguration.autoprovision",
    ),
    (
        task(
            web(),
            volumes=[{"name": "v", "host": {"sourcePath": "/x"}, "dockerVolumeConfiguration": {}}],
        ),
        "volumes[0]",
    ),
    (
        task(
            web(systemControls=[{"namespace": "net.core.somaxconn", "value": "1"}]),
            networkMode="host",
        ),
        f"{ONE}.systemControls[0].namespace",
    ),
    (
        task(web(systemControls=[{"namespace": "kernel.sem", "value": "1"}]), ipcMode="host"),
        f"{ONE}.systemControls[0].namespace",
    ),
    (task(web(), proxyConfiguration={"containerName": "web"}), "proxyConfiguration"),
    (task(web(), networkMode="vpc"), "networkMode"),
]


@pytest.mark.parametrize(("data", "path"), TASK_ROWS)
def test_a_limit_of_a_task_is_kept(data: dict[str, Any], path: str) -> None:
    assert path in problems(data)


def test_a_circle_is_told_in_the_order_of_waiting() -> None:
    found = problems(task(web(**waits("b", "START")), web(name="b", **waits("web", "START"))))
    assert found["containerDefinitions"] in (
        "containers wait for each other: web → b → web",
        "containers wait for each other: b → web → b",
    )


@pytest.mark.parametrize(
    "data",
    [
        task(web(memory=None, memoryReservation=6)),
        task(web(memory=None), memory="512"),
        task(web(**port(80, hostPort=80)), networkMode="awsvpc"),
        task(web(**port(80)), networkMode="host"),
        task(web(**port(80)), web(name="b", **port(80))),
        task(web(**port(80, hostPort=53)), web(name="b", **port(80, hostPort=53, protocol="udp"))),
        task(web(**waits("b", "HEALTHY")), web(name="b", healthCheck=CHECK)),
        task(web(**waits("b", "COMPLETE")), web(name="b", essential=False)),
        task(web(user="1000:web", ulimits=[{"name": "core", "softLimit": -1, "hardLimit": -1}])),
        task(web(stopTimeout=0, dockerSecurityOptions=["apparmor:x", "no-new-privileges"])),
    ],
)
def test_what_ecs_allows_is_allowed(data: dict[str, Any]) -> None:
    assert read_task_definition(data).warnings == ()
