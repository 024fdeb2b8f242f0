"""The bridge as operators set it up, agents side by side, and who is told of it.

The host is a network namespace of the test's own: the agents know no other.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from cni.kernel import netns
from cni.portmap.mappings import Protocol
from cni.program import install
from tests.system import netlab
from tests.system.agent import Agent
from tests.system.cnihost import DEBIAN
from tests.system.netlab import HOST, LOOPBACK, Lab, connected
from tests.system.tasknet import sealed_agent
from tests.system.tasks import DEADLINE_S, SERVES, Json, Task, names_of, run, shell

WEB = f"httpd -p 8080 -h /var/www; echo up; {SERVES}"
PAGE = "Hello from Hostler\n"
ANSWER_S = 20.0
"""For a server in a container, which takes milliseconds when there is nothing else to do."""
SUBNET6 = "fd00:213::/64"
HOST6, OUTSIDE6 = IPv6Address("2001:db8:9::1"), IPv6Address("2001:db8:9::2")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with netlab.lab(tmp_path_factory.mktemp("modes")) as lab:
        lab.ip(lab.host, f"address add {HOST6}/64 dev wan nodad")
        lab.ip(lab.outside, f"address add {OUTSIDE6}/64 dev lan nodad")
        yield lab


@pytest.fixture(scope="module")
def agent(lab: Lab) -> Iterator[Agent]:
    with sealed_agent(lab, HOSTLER_BRIDGE_SUBNET6=SUBNET6) as agent:
        yield agent


def web(agent: Agent, **mapping: object) -> Task:
    """A web server that runs, with its port published."""
    task = run(agent, shell("web", WEB, portMappings=[{"containerPort": 8080, **mapping}]))
    task.until_running()
    task.until_log("web")
    return task


def host_port(task: Task) -> int:
    (binding,) = task.container("web")["networkBindings"]
    return int(binding["hostPort"])


def page(lab: Lab, at: Path, address: IPv4Address | IPv6Address, port: int) -> str:
    """What an HTTP server gives to somebody in a namespace."""
    reached = partial(connected, Protocol.TCP, (address, port), ANSWER_S)
    with lab.threads.call(at, reached) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            return answer.read().rpartition(b"\r\n\r\n")[2].decode()


def attachments(agent: Agent, task: Task) -> list[Json]:
    """What ``hostler network ls`` says of a task."""
    listed = agent.cli("network", "ls", "--json")
    assert listed.returncode == 0, listed.stderr
    return [
        each for each in json.loads(listed.stdout)["attachments"] if each["taskArn"] == task.arn
    ]


def test_containers_reach_each_other_over_ipv6(lab: Lab, agent: Agent) -> None:
    server = web(agent)
    (attachment,) = attachments(agent, server)
    address = attachment["attachment"]["ipv6"]
    assert address.startswith("fd00:213::")
    app = run(agent, shell("app", f"wget -qO- http://[{address}]:8080/"))
    app.until_closed()
    assert app.log("app") == [PAGE]
    server.end()
    assert lab.on_host(server.leftovers) == []


def test_a_published_port_is_reached_over_ipv6(lab: Lab, agent: Agent) -> None:
    task = web(agent)
    for at in (lab.host, lab.outside):
        assert page(lab, at, HOST6, host_port(task)) == PAGE
        assert page(lab, at, HOST.ip, host_port(task)) == PAGE
    task.end()
    for address in (HOST6, HOST.ip):
        with pytest.raises(ConnectionRefusedError):
            page(lab, lab.outside, address, host_port(task))


def test_containers_reach_the_outside_over_ipv6(lab: Lab, agent: Agent) -> None:
    with lab.listen(lab.outside, Protocol.TCP, 9000, OUTSIDE6) as listener:
        task = run(agent, shell("app", f"wget -qO- http://[{OUTSIDE6}]:9000/ 2>/dev/null; true"))
        listener.settimeout(DEADLINE_S)
        client, peer = listener.accept()
        client.close()
        assert peer[0] == str(HOST6)
        task.until_closed()


def test_a_range_of_container_ports_gets_a_range_of_host_ports(lab: Lab, agent: Agent) -> None:
    mapping = {"containerPortRange": "7000-7003", "protocol": "tcp"}
    task = run(agent, shell("web", SERVES, portMappings=[mapping]))
    task.until_running()
    (binding,) = task.container("web")["networkBindings"]
    assert binding["containerPortRange"] == "7000-7003"
    first, last = map(int, binding["hostPortRange"].split("-"))
    low, high = map(int, agent.settings["ECS_DYNAMIC_HOST_PORT_RANGE"].split("-"))
    assert low <= first == last - 3 <= high
    inside = names_of(agent).netns(task.id, "web")
    for number in range(4):
        with lab.listen(inside, Protocol.TCP, 7000 + number) as listener:
            lab.talk(lab.outside, (HOST.ip, first + number), listener)
    with pytest.raises(ConnectionRefusedError):
        page(lab, lab.outside, HOST.ip, last + 1)
    task.end()
    assert lab.on_host(task.leftovers) == []


@pytest.mark.parametrize("mode", ["bridge", "none", "host"])
def test_network_ls_and_inspect_show_what_the_host_has(lab: Lab, agent: Agent, mode: str) -> None:
    mapping = {"containerPort": 8080, "hostPort": 0 if mode == "bridge" else 8080}
    ports = {} if mode == "none" else {"portMappings": [mapping]}
    task = run(agent, shell("web", WEB, **ports), networkMode=mode)
    task.until_running()
    task.until_log("web")
    (shown,) = attachments(agent, task)
    facts = shown["attachment"]
    assert (shown["mode"], shown["containers"]) == (mode, ["web"])
    drawn = agent.cli("network", "inspect", task.id)
    listed = next(
        line for line in agent.cli("network", "ls").stdout.splitlines() if task.id[:12] in line
    )
    assert drawn.returncode == 0, drawn.stderr
    assert f"task {task.id}" in drawn.stdout
    assert mode in listed
    if mode == "bridge":
        port = host_port(task)
        inside = lab.ip(Path(shown["netns"]), "address show dev eth0")
        for each in (f"{facts['ipv4']}/{facts['prefix']}", f"{facts['ipv6']}/{facts['prefix6']}"):
            assert each in inside
            assert each in listed
            assert each in drawn.stdout
        assert facts["mac"] in inside
        assert shown["hostInterface"] in netlab.host_names(lab)
        for each in (f"{port}->8080/tcp", shown["hostInterface"]):
            assert each in listed
            assert each in drawn.stdout
        assert agent.settings["HOSTLER_BRIDGE"] in drawn.stdout
    task.end()
    assert attachments(agent, task) == []
    assert "attached to no network now" in agent.cli("network", "inspect", task.id).stderr


def test_a_list_of_the_operator_takes_the_place_of_the_bridge(lab: Lab, tmp_path: Path) -> None:
    """Addresses from Debian's host-local, then ours, then Debian's tuning, then ours again."""
    leases = tmp_path / "leases"
    ipam = {"type": "host-local", "subnet": "10.215.0.0/24", "dataDir": str(leases)}
    link = {
        "type": "hostler-bridge",
        "bridge": "operator0",
        "isDefaultGateway": True,
        "ipMasq": True,
    }
    plugins = [
        {**link, "table": "operator", "vethPrefix": "opx", "ipam": ipam},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "77"}},
        {"type": "hostler-portmap", "capabilities": {"portMappings": True}, "table": "operator"},
    ]
    conflist = {"cniVersion": "1.0.0", "name": "bridge", "plugins": plugins}
    (tmp_path / "10-bridge.conflist").write_text(json.dumps(conflist))
    settings = {
        "HOSTLER_CNI_CONF_DIR": str(tmp_path),
        "ECS_CNI_PLUGINS_PATH": str(DEBIAN),
        "HOSTLER_NFT_TABLE": "operator",
        "HOSTLER_BRIDGE": "operator0",
        "HOSTLER_VETH_PREFIX": "opx",
    }
    with sealed_agent(lab, **settings) as agent:
        script = f"cat /proc/sys/net/core/somaxconn; {WEB}"
        app = shell("web", script, portMappings=[{"containerPort": 8080}])
        task = run(agent, app)
        task.until_running()
        assert task.until_log("web")[0] == "77\n"
        (attachment,) = attachments(agent, task)
        address = attachment["attachment"]["ipv4"]
        assert (leases / "bridge" / address).exists()
        assert page(lab, lab.outside, HOST.ip, host_port(task)) == PAGE
        lab.host_thread.submit(agent.restart).result(60)
        assert page(lab, lab.outside, HOST.ip, host_port(task)) == PAGE
        task.end()
        assert lab.on_host(task.leftovers) == []
        assert not (leases / "bridge" / address).exists()


def test_two_agents_on_one_host_do_not_meet(lab: Lab, agent: Agent) -> None:
    one = web(agent)
    # Drawn at random these may be the same, as neither can see the other's.
    own = {"HOSTLER_BRIDGE_SUBNET": "10.216.0.0/24", "ECS_DYNAMIC_HOST_PORT_RANGE": "20000-20499"}
    with sealed_agent(lab, **own) as other:
        two = web(other)
        tasks = (one, two)
        assert len({host_port(each) for each in tasks}) == 2
        for each in tasks:
            assert page(lab, lab.outside, HOST.ip, host_port(each)) == PAGE
            assert page(lab, lab.host, LOOPBACK, host_port(each)) == PAGE
        for running in (agent, other):
            lab.host_thread.submit(running.restart).result(60)
        for each in tasks:
            assert page(lab, lab.outside, HOST.ip, host_port(each)) == PAGE
        assert [len(attachments(each.agent, each)) for each in tasks] == [1, 1]
        assert attachments(other, one) == attachments(agent, two) == []
    assert page(lab, lab.outside, HOST.ip, host_port(one)) == PAGE
    one.end()
    assert lab.on_host(one.leftovers) == []


@dataclass(frozen=True, slots=True)
class Program:
    """A plugin's executable, and what it is told."""

    path: Path
    environ: dict[str, str]
    conf: Json

    def __call__(self, lab: Lab, verb: str) -> Any:
        """What it prints on the lab's host, where it must succeed."""
        call = partial(
            subprocess.run,
            [self.path],
            env={**os.environ, **self.environ, "CNI_COMMAND": verb},
            input=json.dumps(self.conf).encode(),
            capture_output=True,
        )
        ran = lab.on_host(call)
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
        return json.loads(ran.stdout) if ran.stdout.strip() else None


def test_a_running_agent_does_the_work_of_the_executables(
    lab: Lab, agent: Agent, tmp_path: Path
) -> None:
    install.install(tmp_path / "bin")
    lab.threads.create(tmp_path / "netns")
    lab.ip(lab.host, "link add nic0 address 02:00:00:00:04:01 type veth peer name nic0x")
    run_dir = Path(agent.settings["HOSTLER_RUN_DIR"])
    environ = {
        "HOSTLER_CNI_SOCKET": str(run_dir / "cni.sock"),
        "HOSTLER_CNI_STATE": str(tmp_path / "state"),
        "CNI_CONTAINERID": "of-podman",
        "CNI_NETNS": str(tmp_path / "netns"),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(tmp_path / "bin"),
    }
    eni = {"eniName": "nic0", "eniIPAddresses": ["10.0.1.7/24"]}
    conf = {"cniVersion": "1.0.0", "name": "foreign", "type": "hostler-awsvpc", **eni}
    plugin = Program(tmp_path / "bin" / "hostler-awsvpc", environ, conf)
    try:
        result = plugin(lab, "ADD")
        assert result["interfaces"][0]["mac"] == "02:00:00:00:04:01"
        assert "nic0" not in netlab.host_names(lab)
        # The record is where the agent keeps them, not where the program would.
        assert (run_dir / "cni" / "nics" / "of-podman@eth0.json").exists()
        assert not (tmp_path / "state").exists()
        assert agent.ailments() == []
        lab.host_thread.submit(agent.restart).result(60)
        assert "nic0" not in netlab.host_names(lab), "it is no task's, so nobody's to take back"
        plugin(lab, "DEL")
        assert "nic0" in netlab.host_names(lab)
        assert not (run_dir / "cni" / "nics" / "of-podman@eth0.json").exists()
    finally:
        lab.ip(lab.host, "link delete nic0x")
        netns.remove(tmp_path / "netns")
