"""The sample tasks of ``vagrant/lab``, on one host of its own kind: each is answered by the other.

Its trunk's VLANs are used where the kernel has VLANs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import vpclab
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.tasknet import HERE, link
from tests.system.tasks import output

SPARE, TRUNK, TRIED = (f"{kind}{os.getpid()}" for kind in "stv")
DEFAULT_SUBNET, SUBNET = "10.213.0.0/16", f"10.214.{os.getpid() % 250}.0/24"
SPARE_MAC, TRUNK_MAC = "02:00:00:80:01:01", "02:00:00:80:00:01"


def vlans() -> str:
    """Those of the lab; none where the kernel has none."""
    made = ["ip", "link", "add", "link", TRUNK, "name", TRIED, "type", "vlan", "id", "1"]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        return ""
    output("ip", "link", "delete", TRIED)
    return "101 102"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the lab's script needs around it, on a host with a spare NIC and a trunk."""
    with vpclab.vpc(tmp_path) as vpc:
        vpc.cable(HERE, SPARE, SPARE_MAC)
        vpc.cable(HERE, TRUNK, TRUNK_MAC)
        output("ip", "address", "add", "10.80.0.11/24", "dev", TRUNK)
        program = tmp_path / "bin" / "hostler"
        program.parent.mkdir()
        command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "agent"]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        program.chmod(0o755)
        yield {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "LAB_ETC": str(tmp_path / "etc"),
            "LAB_DEADLINE": "60",
            "LAB_VLANS": vlans(),
        }


@pytest.fixture
def agent(lab: dict[str, str]) -> Iterator[Agent]:
    """Configured by the lab's script, and what the package's provisioning is given."""
    told(lab, "network", "1", SPARE_MAC, TRUNK_MAC)
    etc = Path(lab["LAB_ETC"], "hostler")
    groups = etc / "security-groups.json"
    groups.write_text(groups.read_text().replace(DEFAULT_SUBNET, SUBNET))
    settings = {
        "HOSTLER_BRIDGE_SUBNET": SUBNET,
        "HOSTLER_ENIS": str(etc / "enis.json"),
        "HOSTLER_SECURITY_GROUPS": str(groups),
    }
    with running_agent(**settings) as agent:
        lab["HOSTLER_RUN_DIR"] = agent.settings["HOSTLER_RUN_DIR"]
        yield agent


def told(lab: dict[str, str], *arguments: str) -> list[str]:
    script = ROOT / "vagrant" / "lab" / "lab.sh"
    ran = subprocess.run(
        [script, *arguments], env=lab, capture_output=True, text=True, check=False, timeout=90
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_its_tasks_answer_each_other(lab: dict[str, str], agent: Agent) -> None:
    number = 2 + len(lab["LAB_VLANS"].split())
    started = told(lab, "tasks", "1", "1")
    assert [each.split()[1] for each in started] == ["task"] * number
    assert told(lab, "check", "1", "1") == [
        "lab: ok: the task on the bridge is answered by host 1",
        "lab: ok: the task with a NIC is answered by host 1",
        *(
            f"lab: ok: the task in VLAN {each} is answered by host 1"
            for each in lab["LAB_VLANS"].split()
        ),
    ]
    again = told(lab, "tasks", "1", "1")
    assert [each[:14] for each in again] == ["lab: there is "] * number
    assert link(SPARE) is None, "a task has it"
    agent.end_tasks()
    assert link(SPARE) is not None
