"""``vagrant/lab/lab.sh``: what it writes is what the agent and Prometheus read, and once is enough.

``hostler``, ``systemctl`` and so on are programs of the test's that write down what they are asked.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.host.interfaces import poolfile
from agent.host.network import securitygroups
from agent.task.definition.overrides import apply_overrides
from agent.task.definition.reading import read_task_definition

LAB = Path(__file__).parents[3] / "vagrant" / "lab"

SPARE, TRUNK = "52:54:00:80:01:01", "52:54:00:80:00:01"

HEADING = "TASK  CONTAINERS  MODE  INTERFACE  ADDRESS  HOST SIDE  PORTS  GROUPS"
RUNNING = {
    "bridge": "1111  server  bridge  eth0  10.213.0.2/16  hv1  8080->80/tcp  default",
    "lab-nic": "2222  server,visitor  awsvpc  eth0  10.80.1.11/24  moved in  -  default",
    "lab-vlan-101": "3333  server,visitor  awsvpc  eth0  10.80.101.11/24  eth2  -  default",
    "lab-vlan-102": "4444  server,visitor  awsvpc  eth0  10.80.102.11/24  eth2  -  default",
}
"""How ``hostler network ls`` shows the tasks of host 1, by the subnet that was asked for."""


@dataclass
class Host:
    """A host of the lab: its /etc, and the programs on it."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def has(self, program: str, *, prints: str = "", code: int = 0) -> None:
        """A program that notes its arguments and prints the same each time."""
        path = self.root / "bin" / program
        path.parent.mkdir(exist_ok=True)
        asked = shlex.quote(str(self.root / "asked"))
        path.write_text(
            f"#!/usr/bin/python3\nimport json, sys\n"
            f"open({asked!r}, 'a').write(json.dumps(sys.argv) + '\\n')\n"
            f"print({prints!r})\nsys.exit({code})\n"
        )
        path.chmod(0o755)

    def shows(self, *subnets: str) -> None:
        """What ``hostler network ls`` prints from now on."""
        rows = [HEADING, *(RUNNING[each] for each in subnets)]
        self.has("hostler", prints="\n".join(rows))

    def lab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.root / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            [LAB / "lab.sh", *arguments],
            env={"PATH": path, "LAB_ETC": str(self.etc), "LAB_DEADLINE": "0"},
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, program: str) -> list[list[str]]:
        """The arguments of all calls of a program."""
        file = self.root / "asked"
        calls = map(json.loads, file.read_text().splitlines() if file.exists() else [])
        return [call[1:] for call in calls if os.path.basename(call[0]) == program]  # noqa: PTH119

    @property
    def etc(self) -> Path:
        return self.root / "etc"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_agent_reads_the_interfaces(host: Host) -> None:
    assert host.lab("network", "1", SPARE, TRUNK).returncode == 0
    nic, *branches = poolfile.read(host.etc / "hostler" / "enis.json")
    assert (nic.kind, nic.mac, nic.subnet, nic.addresses) == (
        "nic", SPARE, "lab-nic", ("10.80.1.11/24",)
    )  # fmt: skip
    assert [(each.kind, each.parent, each.vlan, each.subnet) for each in branches] == [
        ("vlan", TRUNK, 101, "lab-vlan-101"),
        ("vlan", TRUNK, 102, "lab-vlan-102"),
    ]


def test_hosts_share_networks_and_no_address(host: Host) -> None:
    pools = []
    for number in ("1", "2"):
        host.lab("network", number, SPARE, TRUNK)
        pools.append(poolfile.read(host.etc / "hostler" / "enis.json"))
    one, two = ([each.addresses for each in pool] for pool in pools)
    assert not set(one) & set(two)
    assert [each.subnet for each in pools[0]] == [each.subnet for each in pools[1]]


def test_the_agent_reads_the_security_groups(host: Host) -> None:
    host.lab("network", "1", SPARE, TRUNK)
    rules = securitygroups.load(host.etc / "hostler" / "security-groups.json").rules([])
    assert rules is not None, "the group applies to tasks that name none"
    assert [each["protocol"] for each in rules["ingress"]] == ["tcp"]


@pytest.mark.parametrize("path", sorted((LAB / "tasks").glob("*.json")), ids=lambda path: path.stem)
def test_its_task_definitions_are_accepted(path: Path) -> None:
    reading = read_task_definition(json.loads(path.read_text()))
    assert not reading.warnings
    assert reading.definition.network_mode == path.stem


def runs(host: Host) -> dict[str, tuple[str, Any]]:
    """By subnet ('bridge' without one): the definition's file, and the overrides."""
    found = {}
    for arguments in host.asked("hostler"):
        if arguments[0] == "run":
            given = dict(zip(arguments[2:-1:2], arguments[3:-1:2], strict=True))
            subnet = given.get("--subnet", "bridge")
            found[subnet] = (arguments[-1], json.loads(given["--overrides"]))
    return found


def test_tasks_are_run_in_all_networks(host: Host) -> None:
    host.lab("network", "1", SPARE, TRUNK)
    host.shows()
    assert host.lab("tasks", "1", "2").returncode == 0
    given = runs(host)
    assert given.keys() == RUNNING.keys()
    peers = {}
    for subnet, (file, overrides) in given.items():
        definition = read_task_definition(json.loads(Path(file).read_text())).definition
        ran = apply_overrides(definition, overrides)
        server, visitor = ran.container_definitions
        assert server.environment == visitor.environment
        peers[subnet] = {each.name: each.value for each in visitor.environment}["PEER"]
    assert peers == {
        "bridge": "10.80.0.12:8080",
        "lab-nic": "10.80.1.12",
        "lab-vlan-101": "10.80.101.12",
        "lab-vlan-102": "10.80.102.12",
    }


def test_the_last_host_asks_the_first(host: Host) -> None:
    host.shows()
    host.lab("tasks", "2", "2")
    (_, overrides) = runs(host)["bridge"]
    assert "10.80.0.11:8080" in json.dumps(overrides)


def test_only_tasks_that_are_not_there_are_run(host: Host) -> None:
    host.lab("network", "1", SPARE, TRUNK)
    host.shows("bridge", "lab-vlan-101", "lab-vlan-102")
    assert host.lab("tasks", "1", "2").returncode == 0
    assert runs(host).keys() == {"lab-nic"}


def test_a_host_without_spare_interfaces_has_the_bridge(host: Host) -> None:
    host.shows()
    assert "no network interfaces" in host.lab("tasks", "1", "1").stdout
    assert runs(host).keys() == {"bridge"}


def test_a_task_that_is_refused_ends_it(host: Host) -> None:
    host.has("hostler", code=125)
    assert host.lab("tasks", "1", "1").returncode != 0


def test_prometheus_asks_all_hosts_and_is_left_alone_when_it_does(host: Host) -> None:
    host.has("prometheus")
    host.has("systemctl")
    for _ in range(2):
        assert host.lab("metrics", "2").returncode == 0
    assert host.asked("systemctl") == [["restart", "prometheus"]]
    written = yaml.safe_load((host.etc / "prometheus" / "prometheus.yml").read_text())
    (job,) = written["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["10.80.0.11:51678", "10.80.0.12:51678"]}]
    host.lab("metrics", "1")
    assert len(host.asked("systemctl")) == 2
    assert host.asked("prometheus") == [], "found, and not started by hand"


def test_prometheus_is_installed_where_it_lacks(host: Host) -> None:
    for program in ("apt-get", "systemctl"):
        host.has(program)
    assert host.lab("metrics", "1").returncode == 0
    assert [each[0] for each in host.asked("apt-get")] == ["update", "install"]


class TestCheck:
    @pytest.fixture
    def host(self, tmp_path: Path) -> Host:
        """Host 1 of 2, all of it as it should be."""
        host = Host(tmp_path)
        host.lab("network", "1", SPARE, TRUNK)
        host.has("prometheus")
        host.has("systemctl")
        host.lab("metrics", "2")
        self.works(host)
        return host

    def works(self, host: Host, *, answered: str = "host 2, VLAN 101", up: int = 2) -> None:
        host.has("hostler", prints="\n".join([*RUNNING.values(), answered]))
        host.has("promtool", prints='up{instance="10.80.0.11:51678"} => 1 @[1.5]\n' * up)

    def test_all_is_well(self, host: Host) -> None:
        checked = host.lab("check", "1", "2")
        assert (checked.returncode, checked.stderr) == (0, "")
        assert checked.stdout.splitlines() == [
            "lab: ok: the task on the bridge is answered by host 2",
            "lab: ok: the task with a NIC is answered by host 2",
            "lab: ok: the task in VLAN 101 is answered by host 2",
            "lab: ok: the task in VLAN 102 is answered by host 2",
            "lab: ok: Prometheus gets figures of 2 hosts",
        ]
        logs = [each[1] for each in host.asked("hostler") if each[0] == "logs"]
        assert logs == ["1111", "2222", "3333", "4444"]

    @pytest.mark.parametrize("debians", [None, "# Sample config for Prometheus.\n"])
    def test_a_host_whose_prometheus_is_not_the_labs_asks_none(
        self, host: Host, debians: str | None
    ) -> None:
        file = host.etc / "prometheus" / "prometheus.yml"
        file.unlink()
        if debians:
            file.write_text(debians)
        assert host.lab("check", "1", "2").returncode == 0
        assert host.asked("promtool") == []

    def test_a_task_that_nobody_answers_is_named(self, host: Host) -> None:
        self.works(host, answered="no answer from 10.80.1.12")
        checked = host.lab("check", "1", "2")
        assert checked.returncode == 1
        assert "the task on the bridge is answered by host 2" in checked.stderr

    def test_a_task_that_is_not_there_is_named(self, host: Host) -> None:
        host.has("hostler", prints=HEADING)
        assert host.lab("check", "1", "2").returncode == 1

    def test_a_host_whose_metrics_are_not_had_is_named(self, host: Host) -> None:
        self.works(host, up=1)
        checked = host.lab("check", "1", "2")
        assert checked.returncode == 1
        assert "Prometheus gets figures of 2 hosts" in checked.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("tasks",), ("network", "1", SPARE), ("peer", "1", "2"), ("tasks", "1")]
)
def test_what_it_does_not_know_is_explained(host: Host, arguments: tuple[str, ...]) -> None:
    ran = host.lab(*arguments)
    assert ran.returncode == 2
    assert ran.stderr.startswith("network NUMBER SPARE TRUNK")
