"""Whole specs against golden files, so that no change of a spec goes unseen.

After a wanted change write the files anew and read the difference:

    python -m tests.unit.oci.test_spec
"""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.oci.edits import DeviceNode
from agent.oci.inputs import BindMount, HostFacts, SpecInputs
from agent.oci.spec import build_spec
from agent.oci.user import User
from agent.task.definition.linux_rules import CAPABILITIES
from tests.unit.oci.worlds import inputs

GOLDEN = Path(__file__).parents[2] / "data/oci"
FUSE = DeviceNode("/dev/fuse", "c", 10, 229, 0o660, 0, 44)
V2 = HostFacts(2, "aarch64", CAPABILITIES, apparmor=True)

FULL: dict[str, Any] = {
    "entryPoint": ["/run"],
    "command": ["--all"],
    "cpu": 512,
    "memory": 256,
    "memoryReservation": 128,
    "environment": [{"name": "A", "value": "user"}, {"name": "ECS_AGENT_URI", "value": "user"}],
    "workingDirectory": "/srv",
    "pseudoTerminal": True,
    "readonlyRootFilesystem": True,
    "dockerSecurityOptions": ["no-new-privileges", "apparmor:shop"],
    "ulimits": [
        {"name": "nofile", "softLimit": 10, "hardLimit": 20},
        {"name": "core", "softLimit": -1, "hardLimit": -1},
    ],
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "512"}],
    "linuxParameters": {
        "capabilities": {"add": ["NET_ADMIN", "SYS_TIME"], "drop": ["MKNOD", "NET_RAW"]},
        "devices": [{"hostPath": "/dev/fuse", "permissions": ["read", "write"]}],
        "initProcessEnabled": True,
        "maxSwap": 64,
        "swappiness": 10,
        "sharedMemorySize": 128,
        "tmpfs": [{"containerPath": "/tmp", "size": 16, "mountOptions": ["exec", "mode=1777"]}],
    },
}

CASES: dict[str, SpecInputs] = {
    "plain": inputs(),
    "full": inputs(
        FULL,
        user=User(1000, 1000, (1000, 44), "/home/web"),
        host=V2,
        injected={"ECS_AGENT_URI": "http://169.254.170.2/api/x"},
        mounts=(
            BindMount("/run/hostler/tasks/x/hosts", "/etc/hosts"),
            BindMount("/srv/data", "/data", read_only=True),
        ),
        devices=(FUSE,),
        init_path="/usr/bin/catatonit",
        annotations={"io.containerd.runc.v2.group": "x"},
    ),
    "privileged-host": inputs(
        {"privileged": True, "memoryReservation": 64},
        host=HostFacts(1, "x86_64", CAPABILITIES, "hostler-default", devices=(FUSE,)),
        netns=None,
        pid_mode="host",
        ipc_mode="host",
    ),
}


def text(case: SpecInputs) -> str:
    return json.dumps(build_spec(case), indent=2) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_a_spec_is_the_golden_one(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    assert json.loads(text(CASES[name])) == golden


def test_defaults_do_not_undo_what_another_container_of_the_namespace_asked_for() -> None:
    start, ping = "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
    of_others = frozenset({start, "net.core.somaxconn"})

    def controls(**fields: Any) -> dict[str, str]:
        spec = build_spec(inputs(fields, others_controls=of_others))
        sysctl: dict[str, str] = spec["linux"]["sysctl"]
        return sysctl

    assert controls() == {ping: "0 2147483647"}
    mine = [{"namespace": start, "value": "1024"}]
    assert controls(systemControls=mine)[start] == "1024"


if __name__ == "__main__":
    for name, case in CASES.items():
        (GOLDEN / f"{name}.json").write_text(text(case))
