"""Other firewalls, and administrators who empty the rules, on a host that runs tasks.

The host is a network namespace of the test's own: the agent knows no other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from cni.portmap.mappings import Protocol
from tests.system import netlab
from tests.system.agent import Agent
from tests.system.netlab import HOST, LOOPBACK, Lab, connected
from tests.system.tasknet import sealed_agent
from tests.system.tasks import DEADLINE_S, SERVES, Task, eventually, run, shell

WEB = f"httpd -p 8080 -h /var/www; echo up; {SERVES}"
RESTORED_S = 20.0
"""For what the agent does within a second when the machine has nothing else to do."""


@dataclass(frozen=True, slots=True)
class World:
    """An agent on the lab's host, and a web server of it."""

    lab: Lab
    agent: Agent
    web: Task
    port: int

    def on_host(self, *command: str) -> str:
        """What a command prints that succeeds on the lab's host."""
        run = partial(subprocess.run, command, check=True, capture_output=True, text=True)
        return str(self.lab.on_host(run).stdout)

    def serves(self, port: int = 0) -> bool:
        """Whether the published port is reached from the host itself and from outside.

        At once: a true answer has to be waited for.
        """
        for at, address in ((self.lab.host, LOOPBACK), (self.lab.outside, HOST.ip)):
            ask = partial(connected, Protocol.TCP, (address, port or self.port), 0.3)
            try:
                self.lab.threads.call(at, ask).close()
            except OSError:
                return False
        return True


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("firewall")
    with netlab.lab(root) as lab, sealed_agent(lab) as agent:
        web = run(agent, shell("web", WEB, portMappings=[{"containerPort": 8080}]))
        web.until_running()
        web.until_log("web")
        (binding,) = web.container("web")["networkBindings"]
        yield World(lab, agent, web, binding["hostPort"])


def restored(world: World) -> None:
    eventually(world.serves, "the published port", RESTORED_S)


def until_said(world: World, start: int, *words: str) -> None:
    """The agent has said all this since its log was ``start`` characters long."""

    def found() -> bool:
        text = world.agent.said()[start:]
        return all(each in text for each in words)

    eventually(found, f"{words} in the log", RESTORED_S)


@pytest.mark.parametrize(
    "command", [("flush", "ruleset"), ("delete", "table", "inet")], ids=["flush", "delete"]
)
def test_a_published_port_outlives_an_emptied_ruleset(
    world: World, command: tuple[str, ...]
) -> None:
    eventually(world.serves, "the published port")
    start = len(world.agent.said())
    table = world.agent.settings["HOSTLER_NFT_TABLE"]
    world.on_host("nft", *command, *([table] if "delete" in command else []))
    restored(world)
    until_said(world, start, f"nftables table {table}: table deleted by nft", "restored")


def test_one_element_that_somebody_takes_is_put_back(world: World) -> None:
    start = len(world.agent.said())
    table = world.agent.settings["HOSTLER_NFT_TABLE"]
    world.on_host("nft", "flush", "table", "inet", table)
    restored(world)
    until_said(world, start, f"nftables table {table}: ", "by nft", "restored")


def test_tasks_that_start_and_stop_are_no_change_by_others(world: World) -> None:
    start = len(world.agent.said())
    task = run(world.agent, shell("web", WEB, portMappings=[{"containerPort": 8080}]))
    task.until_running()
    (binding,) = task.container("web")["networkBindings"]
    task.until_log("web")
    eventually(lambda: world.serves(binding["hostPort"]), "another published port")
    task.end()
    eventually(world.serves, "the published port")
    assert world.agent.said()[start:] == ""


@pytest.mark.parametrize("flavour", ["legacy", "nft"])
def test_containers_are_reached_though_docker_drops_what_is_forwarded(
    world: World, flavour: str
) -> None:
    tables = [f"iptables-{flavour}", f"ip6tables-{flavour}"]
    for each in tables:
        world.on_host(each, "-w", "-N", "DOCKER-USER")
        world.on_host(each, "-w", "-A", "FORWARD", "-j", "DOCKER-USER")
        world.on_host(each, "-w", "-P", "FORWARD", "DROP")
    try:
        if flavour == "legacy":  # of its changes the kernel tells nobody
            assert not world.serves()
            found = world.agent.cli("doctor")
            assert found.returncode == 1
            assert "FORWARD" in found.stdout
            assert "FORWARD accepts" in world.agent.cli("doctor", "--fix").stdout
        eventually(world.serves, "a published port")
        out = f"wget -qO- http://{netlab.OUTSIDE.ip}:9000/ >/dev/null 2>&1; echo $?"
        with world.lab.listen(world.lab.outside, Protocol.TCP, 9000) as listener:
            listener.settimeout(DEADLINE_S)
            task = run(world.agent, shell("app", out))
            client, _ = listener.accept()
            client.close()
            task.until_closed()
        assert world.agent.ailments() == []
    finally:
        for each in tables:
            world.on_host(each, "-w", "-P", "FORWARD", "ACCEPT")
            world.on_host(each, "-w", "-F", "FORWARD")
            world.on_host(each, "-w", "-F", "DOCKER-USER")
            world.on_host(each, "-w", "-X", "DOCKER-USER")
