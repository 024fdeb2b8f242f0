"""What ``hostler network`` is told: the networks, and every attachment there is now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.config import load
from agent.doors import networks
from agent.engine.feed import Picture
from agent.host.network import networks as host_networks
from agent.settings import Settings
from agent.task import names
from agent.task.definition import NetworkMode
from agent.task.model import TASK_SANDBOX, Intent, Progress, Task
from agent.task.network import Attachment, PortBinding
from cni import spec
from tests.worlds import ATTACHED, ENI, IN_AWSVPC, container, running, task

SETTINGS = replace(Settings(), run_dir=Path("/run/x"), veth_prefix="xv")
TWO = (
    container("web", portMappings=[{"containerPort": 80, "hostPort": 8080}]),
    container("db", portMappings=[{"containerPortRange": "5000-5009", "protocol": "udp"}, {}]),
)


def describe(settings: Settings, pictures: list[Picture]) -> Any:
    """What is told where the networks are the built-in ones."""
    return networks.describe(settings, host_networks.load(settings, Path("/leases")), pictures)


def attachments(made: Task, progress: Progress) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = describe(SETTINGS, [Picture(Intent(made), progress)])[
        "attachments"
    ]
    return found


def up(mode: NetworkMode, attachment: Attachment) -> tuple[Task, Progress]:
    """A task in that mode, of two containers that are all attached so."""
    made = task(*TWO, mode=mode)
    progress = running(Intent(made))
    for sandbox in made.sandboxes:
        progress = progress.having_network(sandbox, attachment=attachment)
    return made, progress


def test_both_networks_are_told_as_they_are_set() -> None:
    given = {
        "HOSTLER_BRIDGE": "br9",
        "HOSTLER_BRIDGE_SUBNET": "10.9.0.0/24",
        "HOSTLER_BRIDGE_SUBNET6": "fd00:9::/64",
        "HOSTLER_NFT_TABLE": "tab",
        "HOSTLER_ENI_PARENT": "eth1",
        "HOSTLER_ENI_SUBNET": "10.0.5.0/24",
    }
    assert describe(load(given, {}, ()), []) == {
        "networks": [
            {
                "mode": "bridge",
                "network": "br9",
                "plugins": ["hostler-bridge", "hostler-portmap", "hostler-firewall"],
                "bridge": "br9",
                "subnets": ["10.9.0.0/24", "fd00:9::/64"],
                "table": "inet tab",
            },
            {
                "mode": "awsvpc",
                "network": "awsvpc",
                "plugins": ["hostler-awsvpc", "hostler-firewall"],
                "provider": "macvlan",
                "parent": "eth1",
                "subnets": ["10.0.5.0/24"],
            },
        ],
        "attachments": [],
    }
    assert describe(Settings(), [])["networks"][1]["provider"] == "none"


def test_in_mode_bridge_each_container_has_a_veth_pair_of_its_own() -> None:
    made, progress = up(
        "bridge", replace(ATTACHED, mode="bridge", ports=(PortBinding("tcp", 80, 8080),))
    )
    web, db = attachments(made, progress)
    key = names.container_id(made.id, "web")
    assert web == {
        "taskArn": made.arn,
        "taskDefinitionArn": made.definition_arn,
        "containers": ["web"],
        "mode": "bridge",
        "netns": str(SETTINGS.names.netns(made.id, "web")),
        "ifname": "eth0",
        "hostInterface": spec.host_ifname("xv", spec.Attachment(key, "eth0")),
        "attachment": {
            "mode": "bridge",
            "ipv4": "172.30.0.2",
            "prefix": 16,
            "gateway": "",
            "mac": "",
            "ports": (
                {
                    "protocol": "tcp",
                    "container_port": 80,
                    "host_port": 8080,
                    "host_ip": "0.0.0.0",
                    "count": 1,
                },
            ),
            "ipv6": "",
            "prefix6": 0,
            "gateway6": "",
            "secondary": (),
            "dns_servers": (),
            "dns_search": (),
            "hostname": "",
            "interface_id": "",
        },
        "interface": None,
        "securityGroups": [],
        "ports": [{"container": "web", "port": 80, "protocol": "tcp"}],
    }
    assert db["containers"] == ["db"]
    assert db["ports"] == [{"container": "db", "port": "5000-5009", "protocol": "udp"}]
    assert db["hostInterface"] != web["hostInterface"]
    assert db["netns"] != web["netns"]


def test_in_mode_awsvpc_all_containers_share_the_tasks_interface() -> None:
    made, progress = up("awsvpc", IN_AWSVPC)
    made = replace(made, security_groups=("web", "db"))
    (shared,) = attachments(made, progress)
    assert shared["containers"] == ["web", "db"]
    assert shared["mode"] == "awsvpc"
    assert shared["netns"] == str(SETTINGS.names.netns(made.id, TASK_SANDBOX))
    assert (shared["ifname"], shared["hostInterface"]) == ("eth0", None)
    assert (shared["interface"]["id"], shared["interface"]["kind"]) == (ENI.id, "nic")
    assert shared["attachment"]["interface_id"] == ENI.id
    assert shared["securityGroups"] == ["web", "db"]
    assert [each["container"] for each in shared["ports"]] == ["web", "db"]


def test_in_mode_host_there_is_nothing_of_its_own() -> None:
    for each in attachments(*up("host", Attachment("host"))):
        assert each["mode"] == "host"
        assert (each["netns"], each["ifname"], each["hostInterface"]) == (None, None, None)


def test_in_mode_none_there_is_a_namespace_without_interface() -> None:
    made, progress = up("none", Attachment("none"))
    first, _ = attachments(made, progress)
    assert first["netns"] == str(SETTINGS.names.netns(made.id, "web"))
    assert (first["mode"], first["ifname"], first["hostInterface"]) == ("none", None, None)


def test_what_is_not_attached_yet_or_not_any_more_is_left_out() -> None:
    made, progress = up("bridge", ATTACHED)
    detached = progress.having_network("web", detached=True)
    assert [each["containers"] for each in attachments(made, detached)] == [["db"]]
    waiting = detached.having_network("db", attachment=None)
    assert attachments(made, waiting) == []


def test_attachments_of_all_tasks_are_told() -> None:
    one, other = task(*TWO), task(*TWO, task_id="0" * 31 + "2")
    pictures = [Picture(Intent(each), running(Intent(each))) for each in (one, other)]
    told = describe(SETTINGS, pictures)["attachments"]
    assert [each["taskArn"] for each in told] == [one.arn] * 2 + [other.arn] * 2
