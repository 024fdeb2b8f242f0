"""What tasks that are gone have left on the host's network: found, named and removed.

It is forged: attached with the agent's own networks to sandboxes that no task has.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agent import config
from agent.host.network import networks
from agent.settings import Settings
from cni.context import open_context
from cni.kernel.netns import NamespaceThread
from cni.runtime.chain import Runtime
from cni.spec import Attachment, host_ifname
from tests.system.agent import Agent, running_agent
from tests.system.tasknet import link
from tests.system.tasks import SERVES, output, run, shell

NIC = f"g{os.getpid()}"
MAC = "02:00:00:00:03:01"
IFNAME = "eth0"
BRIDGED, LENT = "b" * 32, "c" * 32
"""Ids of sandboxes that no task has."""


@pytest.fixture(scope="module")
def nic() -> Iterator[None]:
    """One end of a veth pair stands in for a NIC."""
    output("ip", "link", "add", NIC, "address", MAC, "type", "veth", "peer", "name", f"{NIC}x")
    yield
    output("ip", "link", "delete", NIC)


@pytest.fixture(scope="module")
def agent(nic: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    file = tmp_path_factory.mktemp("orphans") / "interfaces.json"
    entry = {"mac": MAC, "addresses": ["10.0.1.7/24"], "subnet": "nic"}
    file.write_text(json.dumps({"interfaces": [entry]}))
    with running_agent(HOSTLER_ENIS=str(file)) as agent:
        yield agent


@dataclass(frozen=True, slots=True)
class Forged:
    """What was left, by the words in which it is told."""

    things: tuple[str, ...]
    port: int
    address: str


def forge(agent: Agent) -> Forged:
    """A sandbox on the bridge with a published port, and one with a NIC; of no task."""
    settings = config.load(agent.settings, {}, ())
    run_dir = settings.run_dir / "cni"
    known = networks.load(settings, run_dir / "networks")
    port = int(agent.settings["ECS_DYNAMIC_HOST_PORT_RANGE"].partition("-")[2])
    context = open_context(run_dir)
    threads = NamespaceThread()
    try:
        runtime = Runtime(context, run_dir)
        for each in (BRIDGED, LENT):
            threads.create(settings.names.netns_of(each))
        mapping = {"hostPort": port, "containerPort": 80, "protocol": "tcp"}
        path = settings.names.netns_of(BRIDGED)
        given = {"portMappings": [mapping]}
        result = runtime.add(known.bridge, BRIDGED, path, IFNAME, given)
        eni = {"eniMACAddress": MAC, "eniIPAddresses": ["10.0.1.7/24"]}
        runtime.add(known.awsvpc, LENT, settings.names.netns_of(LENT), IFNAME, {"eni": eni})
    finally:
        threads.stop()
        context.close()
    address = str(result.ips[0].address.ip)
    on_bridge = (f"published port {port}/tcp", f"lease {address} of {settings.bridge}")
    return Forged((*_things(settings), *on_bridge), port, address)


def _things(settings: Settings) -> Iterator[str]:
    for each in (BRIDGED, LENT):
        yield f"namespace {settings.names.netns_of(each)}"
    yield f"interface {_host_end(settings)}"
    yield f"attachment of {BRIDGED[:12]} to {settings.bridge}"
    yield f"attachment of {LENT[:12]} to awsvpc"
    yield f"lent NIC {NIC} ({MAC})"


def _host_end(settings: Settings) -> str:
    return host_ifname(settings.veth_prefix, Attachment(BRIDGED, IFNAME))


def gone(agent: Agent, forged: Forged) -> None:
    """The kernel and the directories have nothing of it, and the NIC is back."""
    settings = config.load(agent.settings, {}, ())
    names = settings.names
    assert not [each for each in (BRIDGED, LENT) if names.netns_of(each).exists()]
    assert _host_end(settings) not in [name for _, name in socket.if_nameindex()]
    table = output("nft", "list", "table", "inet", settings.nft_table)
    assert not [line for line in table if BRIDGED in line or str(forged.port) in line]
    files = [str(path) for path in (settings.run_dir / "cni").rglob("*")]
    assert not [each for each in files if BRIDGED in each or LENT in each]
    assert not list((settings.run_dir / "cni" / "networks").rglob(forged.address))
    found = link(NIC)
    assert found is not None
    assert (found["address"], found.get("ifalias")) == (MAC, None)


def test_an_agent_that_starts_removes_what_is_left_and_says_so(agent: Agent) -> None:
    agent.kill9()
    forged = forge(agent)
    start = len(agent.said())
    agent.start()
    gone(agent, forged)
    for each in forged.things:
        assert f"removed what a task that is gone had left: {each}" in agent.said()[start:]


def test_doctor_names_what_is_left_and_with_fix_removes_it(agent: Agent) -> None:
    assert agent.ailments() == []
    neighbour = run(agent, shell("app", SERVES, portMappings=[{"containerPort": 80}]))
    neighbour.until_running()
    forged = forge(agent)
    for _ in range(2):  # finding alone changes nothing
        found = agent.cli("doctor")
        assert found.returncode == 1
        for each in forged.things:
            assert f"orphans: {each}" in found.stdout
        assert neighbour.id not in found.stdout
    fixed = agent.cli("doctor", "--fix")
    for each in forged.things:
        assert f"removed {each}" in fixed.stdout
    gone(agent, forged)
    assert agent.ailments() == []
    assert neighbour.shown()["lastStatus"] == "RUNNING"
    neighbour.end()
    assert neighbour.leftovers() == []
