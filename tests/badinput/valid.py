"""Requests that are right, for every call that is served: what is made wrong begins with them."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]

SMALL: Body = {
    "family": "web",
    "containerDefinitions": [{"name": "web", "image": "hostler/hello", "memory": 64}],
}
FULL: Body = {
    "family": "shop",
    "networkMode": "bridge",
    "cpu": "1 vCPU",
    "memory": "2 GB",
    "taskRoleArn": "arn:aws:iam::111122223333:role/web",
    "executionRoleArn": "arn:aws:iam::111122223333:role/execution",
    "volumes": [{"name": "data"}, {"name": "etc", "host": {"sourcePath": "/etc"}}],
    "placementConstraints": [{"type": "memberOf", "expression": "true"}],
    "requiresCompatibilities": ["EXTERNAL"],
    "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    "tags": [{"key": "team", "value": "shop"}],
    "containerDefinitions": [
        {
            "name": "db",
            "image": "registry.example/db:1",
            "cpu": 64,
            "memory": 64,
            "memoryReservation": 64,
            "essential": False,
            "portMappings": [{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}],
            "environment": [{"name": "A", "value": "b"}],
            "entryPoint": ["/bin/sh", "-c"],
            "command": ["sleep 64"],
            "workingDirectory": "/srv",
            "user": "1000:1000",
            "hostname": "db",
            "dnsServers": ["10.0.0.2"],
            "dnsSearchDomains": ["example"],
            "extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.3"}],
            "dockerLabels": {"a": "b"},
            "ulimits": [{"name": "nofile", "softLimit": 64, "hardLimit": 64}],
            "systemControls": [{"namespace": "net.core.somaxconn", "value": "64"}],
            "linuxParameters": {
                "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
                "devices": [{"hostPath": "/dev/null", "permissions": ["read"]}],
                "tmpfs": [{"containerPath": "/tmp", "size": 64, "mountOptions": ["ro"]}],
                "initProcessEnabled": True,
                "sharedMemorySize": 64,
                "maxSwap": 64,
                "swappiness": 60,
            },
            "healthCheck": {"command": ["CMD", "true"], "interval": 30, "retries": 3},
            "startTimeout": 30,
            "stopTimeout": 30,
            "restartPolicy": {
                "enabled": True,
                "ignoredExitCodes": [0],
                "restartAttemptPeriod": 60,
            },
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
            "logConfiguration": {"logDriver": "json-file", "options": {"max-size": "64k"}},
        },
        {
            "name": "web",
            "image": "hostler/hello",
            "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
            "portMappings": [{"containerPortRange": "8000-8010", "protocol": "udp"}],
        },
    ],
}

THIS_HOST = "0" * 32
MOUNTED = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=1000"}
"""Options of a volume that has a file system of its own."""


def requests(task: str) -> tuple[tuple[str, Body], ...]:
    """Names of calls with bodies that are right, about ``task``; definitions more often."""
    run: Body = {
        "taskDefinition": "web",
        "count": 1,
        "cluster": "default",
        "group": "family:web",
        "startedBy": "test",
        "clientToken": "token",
        "propagateTags": "TASK_DEFINITION",
        "tags": [{"key": "a", "value": "b"}],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "overrides": {
            "cpu": "256",
            "taskRoleArn": "role",
            "containerOverrides": [
                {"name": "web", "command": ["x"], "environment": [{"name": "A", "value": "b"}]}
            ],
        },
    }
    plain: Body = {"taskDefinition": "web"}
    return (
        ("RegisterTaskDefinition", FULL),
        ("RegisterTaskDefinition", FULL),
        ("RegisterTaskDefinition", FULL),
        ("RegisterTaskDefinition", SMALL),
        ("RunTask", run),
        ("RunTask", {key: run[key] for key in ("taskDefinition", "overrides", "tags")}),
        ("DescribeTaskDefinition", {**plain, "include": ["TAGS"]}),
        ("ListTaskDefinitions", {"familyPrefix": "web", "status": "ACTIVE", "sort": "DESC"}),
        ("StopTask", {"task": task, "reason": "because", "force": True}),
        ("DescribeTasks", {"tasks": [task, "0" * 32], "include": ["TAGS"], "cluster": "default"}),
        ("ListTasks", {"family": "web", "desiredStatus": "RUNNING", "maxResults": 7}),
        ("ListTasks", {"nextToken": "1", "launchType": "EXTERNAL", "startedBy": "test"}),
        ("DeregisterTaskDefinition", {"taskDefinition": "shop:1"}),
        ("ListContainerInstances", {"status": "ACTIVE", "cluster": "default"}),
        ("DescribeContainerInstances", {"containerInstances": ["x"], "include": ["TAGS"]}),
        ("UpdateContainerInstancesState", {"containerInstances": ["x"], "status": "ACTIVE"}),
        ("DescribeClusters", {"clusters": ["default"], "include": ["STATISTICS"]}),
        ("UpdateTaskProtection", {"tasks": [task], "protectionEnabled": True}),
        ("GetTaskProtection", {"tasks": [task]}),
        ("ListContainerInstances", {"status": "ACTIVE", "cluster": "default"}),
        ("DescribeContainerInstances", {"containerInstances": [THIS_HOST], "include": ["TAGS"]}),
        ("UpdateContainerInstancesState", {"containerInstances": [THIS_HOST], "status": "ACTIVE"}),
        ("DeregisterTaskDefinition", {"taskDefinition": "web:1"}),
        ("Hostler.WatchTask", {"task": task, "since": 0}),
        ("Hostler.GetLogs", {"task": task, "container": "web", "tail": 7, "cursor": "1:1"}),
        ("Hostler.DescribeQueue", {"cluster": "default"}),
        ("Hostler.DescribeNetworks", {}),
        ("Hostler.DescribeQueue", {}),
        ("Hostler.CreateVolume", {"name": "data", "labels": {"a": "b"}}),
        ("Hostler.ListVolumes", {}),
        ("Hostler.InspectVolume", {"name": "data"}),
        ("Hostler.RemoveVolume", {"name": "data"}),
        ("Hostler.Diagnose", {"fix": False}),
        ("Hostler.ListImages", {}),
        ("Hostler.InspectImage", {"image": "docker.io/hostler/hello:latest"}),
        ("Hostler.RemoveImage", {"image": "docker.io/hostler/hello:latest", "force": False}),
        ("Hostler.PruneImages", {"dryRun": True, "olderThanSeconds": 64}),
        ("Hostler.CreateVolume", {"name": "web", "driverOpts": MOUNTED, "labels": {"a": "b"}}),
        ("Hostler.ListVolumes", {}),
        ("Hostler.InspectVolume", {"name": "web"}),
        ("Hostler.RemoveVolume", {"name": "web"}),
    )
