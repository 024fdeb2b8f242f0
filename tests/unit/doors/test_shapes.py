"""Answers from pictures: what is left out, how ranges and times look."""

from __future__ import annotations

from dataclasses import replace

from agent.doors import shapes
from agent.engine.feed import Picture
from agent.task.model import Attachment, Intent, PortBinding, first_progress
from tests.unit.doors.client import check_shape, service
from tests.worlds import CLUSTER, container, running, task

MADE = task(container("web"), at=1.5)


def test_a_fresh_task_has_no_field_without_a_value() -> None:
    shown = shapes.task(Picture(Intent(MADE), first_progress(MADE)), tags=True)
    check_shape({"tasks": [shown]}, service().operation_model("DescribeTasks"))
    assert None not in shown.values()
    assert not {"startedAt", "stopCode", "stoppedReason", "cpu", "startedBy"} & shown.keys()
    assert (shown["createdAt"], shown["tags"]) == (1.5, [])
    assert not {"runtimeId", "exitCode", "reason"} & shown["containers"][0].keys()


def test_bindings_show_single_ports_and_ranges() -> None:
    ports = (
        PortBinding("tcp", 80, 32768),
        PortBinding("udp", 5000, 6000, host_ip="127.0.0.1", count=3),
    )
    progress = running(Intent(MADE)).having("web", network=Attachment("bridge", ports=ports))
    shown = shapes.task(Picture(Intent(MADE), progress), tags=False)
    check_shape({"tasks": [shown]}, service().operation_model("DescribeTasks"))
    assert shown["containers"][0]["networkBindings"] == [
        {"bindIP": "0.0.0.0", "protocol": "tcp", "containerPort": 80, "hostPort": 32768},
        {
            "bindIP": "127.0.0.1",
            "protocol": "udp",
            "containerPortRange": "5000-5002",
            "hostPortRange": "6000-6002",
        },
    ]


def test_names_are_the_same_as_in_the_metadata() -> None:
    shown = shapes.task(Picture(Intent(MADE), running(Intent(MADE))), tags=False)
    assert shown["taskArn"] == MADE.arn
    assert shown["containers"][0]["containerArn"].endswith("/arn-web")
    assert shown["taskDefinitionArn"] == MADE.definition_arn


def test_the_version_grows_with_every_step() -> None:
    before = first_progress(MADE)
    after = replace(before, timeline=(*before.timeline, *before.timeline))
    versions = [
        shapes.task(Picture(Intent(MADE), each), tags=False)["version"] for each in (before, after)
    ]
    assert versions == [1, 2]


def test_the_host_is_a_container_instance_of_its_cluster() -> None:
    assert shapes.container_instance_arn(CLUSTER) == (
        f"arn:aws:ecs:xx-test-1:111122223333:container-instance/lab/{'0' * 32}"
    )
