"""Network modes: who reaches whom, published ports, and what each container is told of itself."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cni.kernel import netns
from cni.kernel.netns import NamespaceThread
from cni.portmap.mappings import Protocol
from tests.system.agent import Agent, running_agent
from tests.system.netlab import connected, server
from tests.system.tasks import SERVES, Json, Task, names_of, needs, output, run, shell

WEB = f"httpd -p 8080 -h /var/www; echo up; {SERVES}"
PAGE = b"Hello from Hostler\n"
ANSWER_S = 20.0
"""For a server in a container, which takes milliseconds when there is nothing else to do."""
LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@dataclass(frozen=True, slots=True)
class Outside:
    """A machine next to this one: its namespace, and this host's address on the cable."""

    namespace: Path
    host: IPv4Address


@pytest.fixture(scope="module")
def outside(
    threads: NamespaceThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outside]:
    path = tmp_path_factory.mktemp("outside") / "netns"
    # Of the block for benchmarks of networks (RFC 2544); the process id keeps two runs apart.
    cable = f"198.18.{os.getpid() % 256}"
    threads.create(path)
    try:
        name = f"o{os.getpid()}"
        output("ip", "link", "add", name, "type", "veth", "peer", "name", "lan", "netns", str(path))
        output("ip", "address", "add", f"{cable}.1/24", "dev", name)
        output("ip", "link", "set", name, "up")
        there = ("nsenter", f"--net={path}", "ip")
        output(*there, "address", "add", f"{cable}.2/24", "dev", "lan")
        output(*there, "link", "set", "lan", "up")
        yield Outside(path, IPv4Address(f"{cable}.1"))
    finally:
        netns.remove(path)


def free_port() -> int:
    """A port of the host that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def host_port(task: Task, name: str) -> int:
    """The host port of the container's only mapping."""
    (binding,) = task.container(name)["networkBindings"]
    return int(binding["hostPort"])


def reached(address: IPv4Address, port: int) -> socket.socket:
    """A TCP connection from the network namespace of the calling thread."""
    return connected(Protocol.TCP, (address, port), ANSWER_S)


def fetched(client: socket.socket) -> bytes:
    """The page that an HTTP server gives."""
    with client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            return answer.read().rpartition(b"\r\n\r\n")[2]


@contextmanager
def publishing(agent: Agent, **mapping: object) -> Iterator[tuple[Task, int]]:
    """A running web server with that port mapping, and its port on the host."""
    task = run(agent, shell("web", WEB, portMappings=[{"containerPort": 8080, **mapping}]))
    task.until_running()
    task.until_log("web")
    yield task, host_port(task, "web")
    task.end()
    assert task.leftovers() == []


@pytest.mark.parametrize("fixed", [True, False], ids=["static", "dynamic"])
def test_a_published_tcp_port_is_reached_from_everywhere(
    agent: Agent, threads: NamespaceThread, outside: Outside, *, fixed: bool
) -> None:
    wanted = free_port() if fixed else 0
    with publishing(agent, hostPort=wanted) as (_, port):
        assert port == (wanted or port) > 0
        for address in (LOOPBACK, outside.host):
            assert fetched(reached(address, port)) == PAGE
        from_outside = partial(reached, outside.host, port)
        assert fetched(threads.call(outside.namespace, from_outside)) == PAGE
        other = run(agent, shell("app", f"wget -qO- http://{outside.host}:{port}/"))
        other.until_closed()
        assert other.log("app") == [PAGE.decode()]


def test_a_published_udp_port_is_reached_from_everywhere(
    agent: Agent, threads: NamespaceThread, outside: Outside
) -> None:
    mapping = {"containerPort": 53, "hostPort": 0, "protocol": "udp"}
    task = run(agent, shell("app", SERVES, portMappings=[mapping]))
    task.until_running()
    port = host_port(task, "app")
    inside = names_of(agent).netns(task.id, "app")
    ways = [(None, LOOPBACK), (None, outside.host), (outside.namespace, outside.host)]
    with threads.call(inside, partial(server, Protocol.UDP, 53)) as served:
        for source, address in ways:
            work = partial(connected, Protocol.UDP, (address, port))
            with threads.call(source, work) as client:
                client.send(b"ask")
                question, peer = served.recvfrom(10)
                served.sendto(b"answer", peer)
                assert (question, client.recv(10)) == (b"ask", b"answer")
    task.end()


def test_a_stopped_tasks_port_is_free_again(agent: Agent) -> None:
    port = free_port()
    for _ in range(2):
        with publishing(agent, hostPort=port) as (_, published):
            assert published == port
            assert fetched(reached(LOOPBACK, port)) == PAGE
        with pytest.raises(ConnectionRefusedError):
            reached(LOOPBACK, port)


def test_a_container_may_listen_on_port_80_of_all_its_addresses(agent: Agent) -> None:
    task = run(agent, shell("app", "httpd -p 80 -h /var/www && wget -qO- http://127.0.0.1/"))
    task.until_closed()
    assert task.log("app") == [PAGE.decode()]


def test_containers_in_bridge_mode_have_networks_of_their_own(agent: Agent) -> None:
    script = "ip -o -4 address show dev eth0 | sed 's/.*inet //; s/ .*//'; hostname -i"
    first = shell("one", script, essential=False)
    task = run(agent, first, shell("two", script, dependsOn=needs("one", "COMPLETE")))
    task.until_closed()
    one, two = task.log("one"), task.log("two")
    assert one != two
    for each in (one, two):
        address, prefix = each[0].split("/")[0], agent.settings["HOSTLER_BRIDGE_SUBNET"]
        assert address.rpartition(".")[0] == prefix.rpartition(".")[0]
        assert each[1].split() == [address]


def test_in_mode_none_there_is_loopback_and_the_metadata_only(agent: Agent) -> None:
    script = "ls /sys/class/net; wget -qO- $ECS_CONTAINER_METADATA_URI_V4"
    task = run(agent, shell("app", script), networkMode="none")
    task.until_closed()
    links, metadata = task.log("app")
    assert links == "lo\n"
    assert [each["NetworkMode"] for each in json.loads(metadata)["Networks"]] == ["none"]


def test_in_host_mode_the_network_is_the_hosts(agent: Agent) -> None:
    port = free_port()
    seen = "echo $(ls /sys/class/net); cat /etc/hosts"
    script = f"httpd -p {port} -h /var/www; {seen}; {SERVES}"
    mapping = {"containerPort": port}
    app = shell("app", script, portMappings=[mapping])
    task = run(agent, app, networkMode="host")
    task.until_running()
    known = Path("/etc/hosts").read_text().splitlines()
    links, *names = map(str.rstrip, task.until_log("app", lines=1 + len(known)))
    assert host_port(task, "app") == port
    assert fetched(reached(LOOPBACK, port)) == PAGE
    assert set(links.split()) >= {"lo", agent.settings["HOSTLER_BRIDGE"]}
    assert names[: len(known)] == [each.rstrip() for each in known]
    task.end()
    assert task.leftovers() == []
    assert task.story().count(("app", "detached")) == 1


ASK = """
until wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | grep -q '"KnownStatus":"RUNNING"'; do
    usleep 10000  # the agent hears of the start a moment after the process does
done
for uri in $ECS_CONTAINER_METADATA_URI_V4 $ECS_CONTAINER_METADATA_URI; do
    for path in "" /task /stats /task/stats; do wget -qO- $uri$path; echo; done
done
"""


@pytest.mark.parametrize("mode", ["bridge", "none", "host"])
def test_metadata_is_answered_in_every_version_and_mode(agent: Agent, mode: str) -> None:
    app = shell("app", ASK, dockerLabels={"mine": "1"})
    side = shell("side", SERVES, essential=False)
    task = run(agent, side, app | {"dependsOn": [_start("side")]}, networkMode=mode)
    task.until_closed()
    answers = [json.loads(line) for line in task.log("app") if line.strip()]
    assert len(answers) == 8, task.log("app")
    for own, whole, stats, all_stats in (answers[:4], answers[4:]):
        _check_metadata(task, own, whole)
        assert set(all_stats) == {each["DockerId"] for each in whole["Containers"]}
        for each in (stats, all_stats[own["DockerId"]]):
            assert each["memory_stats"]["usage"] > 0
            assert each["pids_stats"]["current"] >= 1


def _start(container: str) -> Json:
    return {"containerName": container, "condition": "START"}


def _check_metadata(task: Task, own: Json, whole: Json) -> None:
    assert own["Name"] == "app"
    assert own["DockerId"] == task.container("app")["runtimeId"]
    assert own["Labels"]["mine"] == "1"
    assert own["KnownStatus"] == "RUNNING"
    assert whole["TaskARN"] == task.arn
    assert sorted(each["Name"] for each in whole["Containers"]) == ["app", "side"]


def test_nobody_reads_anothers_metadata_even_with_its_id(agent: Agent) -> None:
    victim = run(agent, shell("app", f"echo $ECS_CONTAINER_METADATA_URI_V4; {SERVES}"))
    victim.until_running()
    victim.until_log("app")
    stolen = victim.log("app")[0].strip()
    assert stolen.startswith("http://169.254.170.2/v4/")
    paths = [stolen, f"{stolen}/task", f"{stolen}/stats", stolen.replace("v4", "v3")]
    script = "\n".join(f"wget -qO- {each} 2>&1 | head -c 200" for each in paths)
    thief = run(agent, shell("app", f"{script}\nwget -qO- $ECS_CONTAINER_METADATA_URI_V4 | wc -l"))
    thief.until_closed()
    *refused, own = thief.log("app")
    v4, v3 = "HTTP/1.1 404 Not Found", "HTTP/1.1 500 Internal Server Error"  # as ECS answers
    assert [each.partition(": ")[2].partition(": ")[2].strip() for each in refused] == [v4] * 3 + [
        v3
    ]
    assert victim.id not in "".join(refused)
    assert own.strip().isdigit()
    victim.end()
