"""Answers from pictures: what is left out, how ranges and times look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.doors import shapes
from agent.engine.feed import Picture
from agent.task import names
from agent.task.model import Intent, Progress, Task, first_progress
from agent.task.network import Attachment, PortBinding
from agent.task.records import Pin
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


def test_the_digest_of_an_image_is_known_before_the_image_is_here() -> None:
    pinned = first_progress(MADE).having("web", pin=Pin("sha256:5"))
    for progress, digest in ((pinned, "sha256:5"), (running(Intent(MADE)), "sha256:2")):
        (shown,) = shapes.task(Picture(Intent(MADE), progress), tags=False)["containers"]
        assert shown["imageDigest"] == digest


def test_bindings_show_single_ports_and_ranges() -> None:
    ports = (
        PortBinding("tcp", 80, 32768),
        PortBinding("udp", 5000, 6000, host_ip="127.0.0.1", count=3),
    )
    progress = running(Intent(MADE)).having_network(
        "web", attachment=Attachment("bridge", ports=ports)
    )
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
    assert names.container_instance_arn(CLUSTER) == (
        f"arn:aws:ecs:xx-test-1:111122223333:container-instance/lab/{'0' * 32}"
    )


def shown_in_awsvpc(progress: Progress, made: Task) -> dict[str, Any]:
    shown = shapes.task(Picture(Intent(made), progress), tags=False)
    check_shape({"tasks": [shown]}, service().operation_model("DescribeTasks"))
    return shown


def test_the_interface_of_a_task_is_its_attachment() -> None:
    ports = {"portMappings": [{"containerPort": 80}]}
    made = task(container("web", **ports), container("db"), mode="awsvpc")
    shown = shown_in_awsvpc(running(Intent(made)), made)
    (attachment,) = shown["attachments"]
    assert attachment["id"] == names.attachment_id(made.id)
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
    assert attachment["details"] == [
        {"name": "subnetId", "value": "subnet-1"},
        {"name": "networkInterfaceId", "value": "eni-1"},
        {"name": "macAddress", "value": "02:00:00:00:00:07"},
        {"name": "privateDnsName", "value": "ip-10-0-1-7.lab.example"},
        {"name": "privateIPv4Address", "value": "10.0.1.7"},
    ]
    for each in shown["containers"]:
        assert each["networkBindings"] == []
        assert each["networkInterfaces"] == [
            {"attachmentId": attachment["id"], "privateIpv4Address": "10.0.1.7"}
        ]


def test_before_there_is_an_interface_only_what_was_asked_for_is_known() -> None:
    made = replace(task(container("web"), mode="awsvpc"), subnets=("subnet-2",))
    shown = shown_in_awsvpc(first_progress(made), made)
    (attachment,) = shown["attachments"]
    assert attachment["status"] == "PRECREATED"
    assert attachment["details"] == [{"name": "subnetId", "value": "subnet-2"}]
    assert shown["containers"][0]["networkInterfaces"] == []


def test_an_ipv6_address_is_shown_too() -> None:
    made = task(container("web"), mode="awsvpc")
    network = Attachment("awsvpc", mac="02::2", ipv6="fd00::7", prefix6=64)
    progress = running(Intent(made)).having_network("", attachment=network)
    shown = shown_in_awsvpc(progress, made)
    details = {each["name"]: each["value"] for each in shown["attachments"][0]["details"]}
    assert details["ipv6Address"] == "fd00::7"
    assert details["macAddress"] == "02::2", "a macvlan's is known when it is made"
    assert "privateIPv4Address" not in details
    (interface,) = shown["containers"][0]["networkInterfaces"]
    assert interface["ipv6Address"] == "fd00::7"
    assert "privateIpv4Address" not in interface
