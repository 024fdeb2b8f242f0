"""Tests of the container and task objects: which keys there are, in which order, with what."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadata.encoding import Json
from metadata.source import ContainerFacts, Instant, NetworkFacts, TaskFacts
from metadata.task import render
from metadata.task.render import NotYetKnown
from tests.unit.metadata.facts import BARE, BARE_TASK, FULL, FULL_TASK, PAUSE, PULLED

MOMENTS = st.none() | st.integers(0, 2**62).map(Instant)

V3_FULL = {
    "DockerId": "5b1e",
    "Name": "web",
    "DockerName": "ecs-shop-7-web-a0",
    "Image": "registry.example/shop:1.4",
    "ImageID": "sha256:77aa",
    "Ports": [{"ContainerPort": 8080, "Protocol": "tcp", "HostPort": 32771}],
    "Labels": {"com.amazonaws.ecs.cluster": "lab"},
    "DesiredStatus": "STOPPED",
    "KnownStatus": "STOPPED",
    "ExitCode": 0,
    "Limits": {"CPU": 128, "Memory": 256},
    "CreatedAt": "2031-02-03T04:05:06.7Z",
    "StartedAt": "2031-02-03T04:05:07.81Z",
    "FinishedAt": "2031-02-03T04:06:06Z",
    "Type": "NORMAL",
    "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.4"]}],
    "Health": {
        "status": "UNHEALTHY",
        "statusSince": "2031-02-03T04:05:40Z",
        "exitCode": 3,
        "output": "no",
    },
    "Volumes": [{"DockerName": "vol1", "Source": "/srv/data", "Destination": "/data"}],
}
V4_FULL = {key: value for key, value in V3_FULL.items() if key != "Networks"} | {
    "Ports": [{"ContainerPort": 8080, "Protocol": "tcp", "HostPort": 32771, "HostIp": "0.0.0.0"}],
    "LogDriver": "json-file",
    "LogOptions": {"max-size": "1m"},
    "ContainerARN": "arn:aws:ecs:xx-test-1:111122223333:container/lab/0123/c0ffee",
    "Networks": [
        {
            "NetworkMode": "bridge",
            "IPv4Addresses": ["172.17.0.4"],
            "IPv6Addresses": ["fd00::4"],
        }
    ],
    "Snapshotter": "overlayfs",
    "RestartCount": 0,
}
V34_BARE = {
    "DockerId": "5b1e",
    "Name": "web",
    "DockerName": "ecs-shop-7-web-a0",
    "Image": "registry.example/shop:1.4",
    "ImageID": "",
    "DesiredStatus": "RUNNING",
    "KnownStatus": "CREATED",
    "Limits": {"CPU": 2, "Memory": 0},
    "Type": "NORMAL",
}


def as_sent(value: object) -> list[tuple[str, object]]:
    """Decoded again, keys in the order in which they are sent."""
    decoded: dict[str, object] = json.loads(json.dumps(value))
    return list(decoded.items())


def names(task: dict[str, Json]) -> list[str]:
    return [each["Name"] for each in json.loads(json.dumps(task)).get("Containers", [])]


def test_container_v3_shows_every_fact_in_order() -> None:
    assert as_sent(render.container_v3(FULL)) == list(V3_FULL.items())


def test_container_v4_shows_every_fact_in_order() -> None:
    assert as_sent(render.container_v4(FULL)) == list(V4_FULL.items())


def test_container_leaves_out_what_does_not_apply() -> None:
    assert as_sent(render.container_v3(BARE)) == list(V34_BARE.items())
    assert as_sent(render.container_v4(BARE)) == list(V34_BARE.items())


def test_container_waits_for_its_network() -> None:
    created = replace(BARE, networks=None)
    with pytest.raises(NotYetKnown, match="web"):
        render.container_v3(created)
    with pytest.raises(NotYetKnown, match="web"):
        render.container_v4(created)


def test_restart_count_is_shown_only_with_a_restart_policy() -> None:
    assert "RestartCount" not in render.container_v4(replace(FULL, restart_count=None))
    assert render.container_v4(replace(FULL, restart_count=2))["RestartCount"] == 2


def test_task_v3_shows_every_fact_in_order() -> None:
    task = replace(FULL_TASK, containers=(FULL,))
    assert as_sent(render.task_v3(task)) == [
        ("Cluster", "lab"),
        ("TaskARN", "arn:aws:ecs:xx-test-1:111122223333:task/lab/0123"),
        ("Family", "shop"),
        ("Revision", "7"),
        ("DesiredStatus", "RUNNING"),
        ("KnownStatus", "RUNNING"),
        ("Containers", [V3_FULL]),
        ("Limits", {"CPU": 0.5, "Memory": 512}),
        ("PullStartedAt", "2031-02-03T04:04:58Z"),
        ("PullStoppedAt", "2031-02-03T04:05:05Z"),
        ("ExecutionStoppedAt", "2031-02-03T04:06:36Z"),
        ("AvailabilityZone", "xx-test-1a"),
    ]


def test_task_v4_shows_every_fact_in_order() -> None:
    task = replace(FULL_TASK, containers=(FULL,))
    assert as_sent(render.task_v4(task)) == [
        ("Cluster", "lab"),
        ("TaskARN", "arn:aws:ecs:xx-test-1:111122223333:task/lab/0123"),
        ("Family", "shop"),
        ("Revision", "7"),
        ("DesiredStatus", "RUNNING"),
        ("KnownStatus", "RUNNING"),
        ("Limits", {"CPU": 0.5, "Memory": 512}),
        ("PullStartedAt", "2031-02-03T04:04:58Z"),
        ("PullStoppedAt", "2031-02-03T04:05:05Z"),
        ("ExecutionStoppedAt", "2031-02-03T04:06:36Z"),
        ("AvailabilityZone", "xx-test-1a"),
        ("LaunchType", "EXTERNAL"),
        ("Containers", [V4_FULL]),
        ("VPCID", "vpc-0a1b"),
        ("ServiceName", "shop"),
        ("Group", "service:shop"),
        ("FaultInjectionEnabled", True),
        ("AvailabilityZoneID", "xxt1-az1"),
    ]


def test_task_leaves_out_what_does_not_apply() -> None:
    least = [
        ("Cluster", "lab"),
        ("TaskARN", "arn:aws:ecs:xx-test-1:111122223333:task/lab/0123"),
        ("Family", "shop"),
        ("Revision", "7"),
        ("KnownStatus", "NONE"),
    ]
    assert as_sent(render.task_v3(BARE_TASK)) == least
    assert as_sent(render.task_v4(BARE_TASK)) == [*least, ("FaultInjectionEnabled", False)]


def test_task_lists_pulled_containers_in_version_4_only() -> None:
    fresh = replace(PULLED, name="fresh", known_status="NONE")
    task = replace(FULL_TASK, containers=(FULL, PAUSE, PULLED, fresh))
    assert names(render.task_v3(task)) == ["web", "~internal~ecs~pause"]
    assert names(render.task_v4(task)) == ["web", "~internal~ecs~pause", "side"]


def test_task_with_an_unknown_network_fails_in_version_3_and_leaves_it_out_in_4() -> None:
    task = replace(FULL_TASK, containers=(replace(FULL, networks=None), PAUSE))
    with pytest.raises(NotYetKnown, match="web"):
        render.task_v3(task)
    shown = json.loads(json.dumps(render.task_v4(task)))
    assert "Networks" not in shown["Containers"][0]


CONTAINERS = st.builds(
    ContainerFacts,
    created_at=MOMENTS,
    started_at=MOMENTS,
    finished_at=MOMENTS,
    networks=st.lists(st.builds(NetworkFacts), max_size=2).map(tuple),
    health=st.none(),
)
TASKS = st.builds(
    TaskFacts,
    containers=st.lists(CONTAINERS, max_size=2).map(tuple),
    pull_started_at=MOMENTS,
    pull_stopped_at=MOMENTS,
    execution_stopped_at=MOMENTS,
)


@given(TASKS)
def test_any_task_with_known_networks_can_be_shown(task: TaskFacts) -> None:
    assert json.loads(json.dumps(render.task_v3(task)))["TaskARN"] == task.arn
    shown = json.loads(json.dumps(render.task_v4(task)))
    assert None not in shown.values()
    assert isinstance(shown["FaultInjectionEnabled"], bool)
