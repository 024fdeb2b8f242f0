"""Tasks with an interface of their own from a list: NICs of the host, and children of one.

What stands in for a NIC is one end of a veth pair. The kernel does not bring one back from a
namespace that dies, as it does with hardware: so it is what must never be left in there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.system import vpclab
from tests.system.agent import Agent, running_agent
from tests.system.tasknet import HERE, awsvpc, interface, link, namespace
from tests.system.tasks import SERVES, Json, Task, eventually, output, shell
from tests.system.vpclab import GATEWAY, IMDS, Vpc

NIC, LATE, PARENT = (f"{kind}{os.getpid()}" for kind in "nlp")
MAC, LATE_MAC, NEVER_MAC = (f"02:00:00:00:02:0{number}" for number in range(3))
ADDRESS, ADDRESS6 = "10.0.1.7/24", "2001:db8:1::7/64"
OWN = "10.0.1.9/24"
"""What the host itself had on the NIC."""
MTU = 1400
TIMEOUT_S = 10
"""Within which a NIC that comes late must have come; another test sits it out."""

INTERFACES: list[Json] = [
    {
        "type": "nic",
        "id": "eni-nic",
        "mac": MAC,
        "addresses": [ADDRESS, ADDRESS6],
        "gateways": [GATEWAY],
        "dns": {"servers": ["10.0.1.53"], "search": ["lab.example"]},
        "hostname": "seven.lab.example",
        "subnet": "nic",
        "mtu": 1300,
    },
    {"type": "nic", "mac": LATE_MAC, "addresses": ["10.0.1.8/24"], "subnet": "late"},
    {"type": "nic", "mac": NEVER_MAC, "addresses": ["10.0.1.10/24"], "subnet": "never"},
    {"type": "macvlan", "parent": PARENT, "addresses": ["10.0.1.11/24"], "subnet": "child"},
    {"type": "macvlan", "parent": PARENT, "addresses": ["10.0.1.12/24"], "subnet": "child"},
]


@dataclass(frozen=True, slots=True)
class World:
    """An agent, and the network that the NICs of its host are plugged into."""

    agent: Agent
    vpc: Vpc


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("nics")
    file = root / "interfaces.json"
    file.write_text(json.dumps({"interfaces": INTERFACES}))
    with vpclab.vpc(root) as vpc:
        vpc.cable(HERE, NIC, MAC)
        vpc.cable(HERE, PARENT, "02:00:00:00:02:0a")
        output("ip", "link", "set", NIC, "mtu", str(MTU), "up")
        output("ip", "address", "add", OWN, "dev", NIC)
        settings = {
            "HOSTLER_ENIS": str(file),
            "HOSTLER_ENI_TIMEOUT": f"{TIMEOUT_S}s",
            "ECS_AWSVPC_BLOCK_IMDS": "false",
        }
        with running_agent(**settings) as agent:
            yield World(agent, vpc)


@pytest.fixture(autouse=True)
def _interfaces_are_free(world: World) -> Iterator[None]:
    yield
    world.agent.end_tasks()


def running(world: World, *containers: Json, subnet: str) -> Task:
    task = awsvpc(world.agent, *containers, subnets=[subnet])
    task.until_running()
    task.until_log(containers[-1]["name"])
    return task


def state(name: str) -> Json | None:
    """What of a link must be as before; the kernel counts its indexes on.

    It has a carrier, which the kernel says a moment after it is up.
    """
    found = link(name)
    if found is None:
        return None
    addresses = {
        f"{each['local']}/{each['prefixlen']}"
        for each in found["addr_info"]
        if each["scope"] == "global"
    }
    eventually(lambda: (link(name) or {}).get("operstate") == "UP", f"a carrier of {name}")
    kept = ("ifname", "address", "mtu", "ifalias")
    return {**{key: found.get(key) for key in kept}, "addresses": addresses}


SHOW = f"""
hostname; cat /etc/resolv.conf /etc/hosts; wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; {SERVES}
"""


def test_a_nic_is_moved_in_and_comes_back_as_it_was(world: World) -> None:
    before = state(NIC)
    assert before is not None
    assert before["addresses"] == {OWN}
    task = running(world, shell("app", SHOW), subnet="nic")
    assert link(NIC) is None
    (inside,) = json.loads(world.vpc.ip(namespace(task), "-j address show dev eth0"))
    assert (inside["address"], inside["mtu"]) == (MAC, 1300)
    with world.vpc.listen(namespace(task), "0.0.0.0", 80) as listener:
        assert world.vpc.talk(world.vpc.gateway, "10.0.1.7", listener) == GATEWAY
    task.end()
    assert task.leftovers() == []
    assert state(NIC) == before


def test_the_list_says_names_and_resolver(world: World) -> None:
    task = running(world, shell("app", SHOW), subnet="nic")
    eventually(lambda: any("{" in each for each in task.log("app")[:-1]), "all of its output")
    *lines, _ = task.log("app")
    assert lines[:3] == [
        "seven.lab.example\n",
        "nameserver 10.0.1.53\n",
        "search lab.example\n",
    ]
    assert "10.0.1.7\tseven.lab.example\n" in lines
    (network,) = json.loads(lines[-1])["Networks"]
    assert network["PrivateDNSName"] == "seven.lab.example"
    assert network["DomainNameServers"] == ["10.0.1.53"]
    assert network["DomainNameSearchList"] == ["lab.example"]
    told = interface(task)
    assert told == {
        "subnetId": "nic",
        "networkInterfaceId": "eni-nic",
        "macAddress": MAC,
        "privateDnsName": "seven.lab.example",
        "privateIPv4Address": "10.0.1.7",
        "ipv6Address": "2001:db8:1::7",
    }


def test_instance_metadata_is_reached_where_that_is_allowed(world: World) -> None:
    task = running(world, shell("app", SERVES), subnet="nic")
    with world.vpc.listen(world.vpc.gateway, IMDS, 80) as metadata:
        world.vpc.talk(namespace(task), IMDS, metadata)


def test_a_nic_comes_back_when_the_agent_was_killed(world: World) -> None:
    before = state(NIC)
    task = running(world, shell("app", SERVES), subnet="nic")
    world.agent.kill9()
    assert link(NIC) is None
    world.agent.start()
    assert link(NIC) is None, "the task still has it"
    task.end()
    assert task.leftovers() == []
    assert state(NIC) == before


@pytest.mark.parametrize("step", ["interface", "network", "stopping", "exited"])
def test_a_nic_comes_back_wherever_the_agent_was_killed(world: World, step: str) -> None:
    before = state(NIC)
    task = awsvpc(world.agent, shell("app", SERVES), subnets=["nic"])
    if step in ("stopping", "exited"):
        task.until_running()
        task.stop(force=True)
    task.until_step(step)
    world.agent.kill9()
    world.agent.start()
    task.end()
    assert task.leftovers() == []
    assert state(NIC) == before


def test_a_task_waits_for_a_nic_that_comes_late(world: World) -> None:
    task = awsvpc(world.agent, shell("app", SERVES), subnets=["late"])
    waiting = task.until_step("waiting")
    assert LATE_MAC in waiting["detail"]
    world.vpc.cable(HERE, LATE, LATE_MAC)
    task.until_running()
    assert [each for each in task.story() if each[1] == "waiting"] == [("", "waiting")]
    assert link(LATE) is None
    task.end()
    assert link(LATE) is not None


def test_a_task_whose_nic_never_comes_fails_and_says_so(world: World) -> None:
    task = awsvpc(world.agent, shell("app", SERVES), subnets=["never"])
    shown = task.until_closed()
    assert shown["stopCode"] == "TaskFailedToStart"
    assert shown["stoppedReason"].startswith("ResourceInitializationError: network interface eni-")
    assert f"within {TIMEOUT_S} s" in shown["stoppedReason"]
    assert NEVER_MAC in shown["stoppedReason"]
    assert task.leftovers() == []


def test_children_of_one_nic_reach_each_other(world: World) -> None:
    one = running(world, shell("app", SERVES), subnet="child")
    two = running(world, shell("app", SERVES), subnet="child")
    address = interface(one)["privateIPv4Address"]
    with world.vpc.listen(namespace(one), address, 80) as listener:
        peer = world.vpc.talk(namespace(two), address, listener)
    assert {address, peer} == {"10.0.1.11", "10.0.1.12"}


def test_a_task_waits_for_an_interface_that_another_one_has(world: World) -> None:
    holder = running(world, shell("app", SERVES), subnet="nic")
    task = awsvpc(world.agent, shell("app", SERVES), subnets=["nic"])
    task.until_step("retrying", detail=f"eni-nic by task {holder.id}")
    holder.end()
    task.until_running()
    assert interface(task)["macAddress"] == MAC


def test_more_tasks_than_the_list_has_interfaces_are_refused(world: World) -> None:
    wanted = ["nic", "never", "never", "child", "child"]
    for each in wanted:
        awsvpc(world.agent, shell("app", SERVES), subnets=[each])
    answer = world.agent.call("RunTask", taskDefinition="own")
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:ENI"]


def test_a_subnet_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(Exception, match="subnet 'elsewhere' does not exist on this host"):
        awsvpc(world.agent, shell("app", SERVES), subnets=["elsewhere"])
