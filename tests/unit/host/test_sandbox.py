"""What attaching a sandbox asks of its network, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.host.network import networks
from agent.host.network.networks import Networks
from agent.host.network.ports import HostPorts
from agent.host.network.sandbox import IFNAME, Groups, Sandboxes
from agent.host.network.securitygroups import SecurityGroupError, SecurityGroups
from agent.settings import Settings
from agent.task import names
from agent.task.model import TASK_SANDBOX, Task, first_progress
from agent.task.network import Attachment, PortBinding
from agent.task.view import Absent, NetworkSeen, Seen
from cni.errors import CNIError, Code
from cni.kernel import netns
from cni.portmap import hostports, ports
from cni.runtime.conflist import network_from
from cni.spec import DNS, IP, Interface, Result
from metadata.source import Owner
from tests.unit.host import worlds
from tests.worlds import ENI, container

VETH = Interface("hv0123", mac="02:00:00:00:00:01")
ETH0 = Interface("eth0", mac="02:00:00:00:00:02", sandbox="/netns/x")


def ip(address: str, gateway: str = "", interface: int | None = 1) -> IP:
    return IP(ip_interface(address), ip_address(gateway) if gateway else None, interface)


USUAL = Result((VETH, ETH0), (ip("10.213.0.2/16", "10.213.0.1"),))


@dataclass
class World:
    """Sandboxes whose kernel, plugins and metadata door are a list of what was asked of them."""

    folder: Path
    result: Result = USUAL
    refusals: list[CNIError] = field(default_factory=list)
    done: list[tuple[Any, ...]] = field(default_factory=list)
    there: set[Path] = field(default_factory=set)
    served: dict[str, Path | None] = field(default_factory=dict)
    networks: Networks = field(init=False)

    def __post_init__(self) -> None:
        self.names = worlds.names_below(self.folder)
        self.networks = Networks(
            bridge=network_from(networks.bridge_list(Settings(), self.folder)),
            awsvpc=network_from(networks.awsvpc_list(Settings(), self.folder)),
        )

    @property
    def sandboxes(self) -> Sandboxes:
        me: Any = self
        host_ports = HostPorts(self.folder, (40000, 40009))
        groups = Groups(SecurityGroups(Path("groups.json")))
        return Sandboxes(self.networks, self.names, me, me, me, host_ports, groups, "tab")

    # The thread, and the runtime that its work is given.

    async def run(self, work: Callable[[Any], Any]) -> Any:
        return work(self)

    @property
    def context(self) -> Any:
        return SimpleNamespace(namespaces=self, firewall="firewall")

    def create(self, path: Path) -> None:
        self.done.append(("create", path))
        self.there.add(path)

    def add(
        self, network: Any, key: str, path: Path, ifname: str, capabilities: Mapping[str, Any]
    ) -> Result:
        assert path in self.there
        self.done.append(("ADD", network.name, key, ifname, capabilities))
        if self.refusals:
            raise self.refusals.pop()
        return self.result

    def delete(self, network: Any, key: str, path: Path | None, ifname: str) -> None:
        self.done.append(("DEL", network.name, key, path, ifname))
        if self.refusals:
            raise self.refusals.pop()

    def remove(self, path: Path) -> None:
        self.done.append(("remove", path))
        self.there.discard(path)

    # The metadata sockets.

    def serves(self, key: str) -> bool:
        return key in self.served

    async def serve(self, key: str, owner: Owner, path: Path) -> None:
        assert path in self.there
        self.done.append(("serve", key, owner))
        self.served[key] = path

    async def serve_on_host(self, key: str) -> None:
        self.done.append(("serve on host", key))
        self.served[key] = None

    async def close(self, key: str) -> None:
        self.done.append(("close", key))
        self.served.pop(key, None)

    async def leave_host(self, key: str) -> None:
        self.done.append(("leave host", key))
        self.served.pop(key, None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(netns, "exists", lambda path: path in made.there)
    monkeypatch.setattr(netns, "remove", made.remove)
    monkeypatch.setattr(hostports, "is_free", lambda *_: True)
    monkeypatch.setattr(ports, "published", lambda *_: ())
    return made


def task(mode: str = "bridge", **fields: object) -> Task:
    return worlds.task(container("web", **fields), networkMode=mode)


def key_of(made: Task) -> str:
    return names.container_id(made.id, made.sandboxes[0])


async def attached(world: World, result: Result) -> Attachment:
    world.result = result
    return await world.sandboxes.attach(task(), "web", None)


async def test_an_ipv4_address_with_its_gateway_is_the_sandboxs(world: World) -> None:
    assert await attached(world, USUAL) == Attachment(
        mode="bridge",
        ipv4="10.213.0.2",
        prefix=16,
        gateway="10.213.0.1",
        mac=ETH0.mac,
    )


async def test_an_ipv6_address_may_be_the_only_one(world: World) -> None:
    only6 = replace(USUAL, ips=(ip("fd00::2/64", "fd00::1"),))
    assert await attached(world, only6) == Attachment(
        mode="bridge", ipv6="fd00::2", prefix6=64, gateway6="fd00::1", mac=ETH0.mac
    )


async def test_of_several_addresses_the_first_of_each_family_is_the_primary(world: World) -> None:
    several = (
        ip("fd00::2/64"),
        ip("10.0.0.2/24", "10.0.0.1"),
        ip("10.0.0.3/25", "10.0.0.5"),
        ip("fd00::3/64", "fd00::1"),
    )
    found = await attached(world, replace(USUAL, ips=several))
    assert (found.ipv4, found.prefix, found.gateway) == ("10.0.0.2", 24, "10.0.0.1")
    assert (found.ipv6, found.prefix6, found.gateway6) == ("fd00::2", 64, "")
    assert found.secondary == ("10.0.0.3", "fd00::3")


async def test_an_address_on_the_hosts_side_is_not_the_sandboxs(world: World) -> None:
    result = replace(USUAL, ips=(ip("10.0.0.1/32", interface=0), ip("10.0.0.2/24")))
    found = await attached(world, result)
    assert (found.ipv4, found.secondary) == ("10.0.0.2", ())


async def test_another_vendors_result_may_name_no_interface(world: World) -> None:
    foreign = Result(ips=(ip("10.0.0.2/24", "10.0.0.1", interface=None),))
    found = await attached(world, foreign)
    assert (found.ipv4, found.gateway, found.mac) == ("10.0.0.2", "10.0.0.1", "")


async def test_a_network_without_addresses_is_one_too(world: World) -> None:
    assert await attached(world, Result()) == Attachment(mode="bridge")


async def test_the_networks_resolver_is_told(world: World) -> None:
    found = await attached(world, replace(USUAL, dns=DNS(("10.0.0.9",), "", ("a.test", "b.test"))))
    assert (found.dns_servers, found.dns_search) == (("10.0.0.9",), ("a.test", "b.test"))


async def test_ports_are_published_and_told_with_what_was_chosen(world: World) -> None:
    made = task(portMappings=[{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}])
    found = await world.sandboxes.attach(made, "web", None)
    assert found.ports == (PortBinding("tcp", 80, 40000), PortBinding("tcp", 81, 8081))
    (asked,) = (each for each in world.done if each[0] == "ADD")
    assert asked[4] == {
        "portMappings": [
            {"hostPort": 40000, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 8081, "containerPort": 81, "protocol": "tcp"},
        ]
    }


async def test_a_container_is_attached_before_its_metadata_is_served(world: World) -> None:
    made = task()
    await world.sandboxes.attach(made, "web", None)
    assert [each[0] for each in world.done] == ["close", "create", "ADD", "serve"]
    assert world.done[1] == ("create", world.names.netns(made.id, "web"))
    assert world.done[2][1:4] == ("hostler0", key_of(made), IFNAME)
    assert world.done[3] == ("serve", key_of(made), Owner(made.id))


async def test_a_task_in_awsvpc_mode_is_attached_once_by_its_interface(world: World) -> None:
    world.result = Result((ETH0,), (ip("10.0.1.7/24", "10.0.1.1", 0),))
    made = task("awsvpc", portMappings=[{"containerPort": 80}])
    found = await world.sandboxes.attach(made, TASK_SANDBOX, ENI)
    (asked,) = (each for each in world.done if each[0] == "ADD")
    assert asked[1:] == ("awsvpc", key_of(made), IFNAME, {"eni": networks.eni(ENI)})
    assert found == Attachment(
        mode="awsvpc",
        ipv4="10.0.1.7",
        prefix=24,
        gateway="10.0.1.1",
        mac=ETH0.mac,
        hostname=ENI.hostname,
        interface_id=ENI.id,
    )


async def test_in_mode_none_there_is_a_namespace_and_no_network(world: World) -> None:
    made = task("none")
    assert await world.sandboxes.attach(made, "web", None) == Attachment(mode="none")
    assert [each[0] for each in world.done] == ["close", "create", "serve"]


async def test_in_mode_host_there_is_no_namespace_and_ports_are_the_containers_own(
    world: World,
) -> None:
    made = task("host", portMappings=[{"containerPort": 80, "protocol": "udp"}])
    found = await world.sandboxes.attach(made, "web", None)
    assert found == Attachment(mode="host", ports=(PortBinding("udp", 80, 80),))
    assert world.done == [("serve on host", key_of(made))]


async def test_a_failed_attachment_is_not_served(world: World) -> None:
    world.refusals = [CNIError(Code.IO_FAILURE, "no veth")]
    with pytest.raises(CNIError, match="no veth"):
        await world.sandboxes.attach(task(), "web", None)
    assert world.served == {}


async def test_an_unknown_security_group_is_no_network_without_rules(world: World) -> None:
    made = replace(task(), security_groups=("web",))
    with pytest.raises(SecurityGroupError):
        await world.sandboxes.attach(made, "web", None)
    assert "ADD" not in [each[0] for each in world.done]


async def test_where_veth_pairs_are_the_namespace_goes_before_del(world: World) -> None:
    made = task()
    await world.sandboxes.attach(made, "web", None)
    world.done.clear()
    await world.sandboxes.detach(made, "web")
    path = world.names.netns(made.id, "web")
    assert world.done == [
        ("close", key_of(made)),
        ("remove", path),
        ("DEL", "hostler0", key_of(made), None, IFNAME),
        ("remove", path),
    ]
    assert world.there == set()


async def test_an_interface_that_is_lent_is_given_back_before_the_namespace_goes(
    world: World,
) -> None:
    made = task("awsvpc")
    await world.sandboxes.attach(made, TASK_SANDBOX, ENI)
    world.done.clear()
    await world.sandboxes.detach(made, TASK_SANDBOX)
    path = world.names.netns(made.id, TASK_SANDBOX)
    assert world.done == [
        ("close", key_of(made)),
        ("DEL", "awsvpc", key_of(made), path, IFNAME),
        ("remove", path),
    ]


async def test_while_del_fails_a_lent_interface_keeps_its_namespace(world: World) -> None:
    made = task("awsvpc")
    await world.sandboxes.attach(made, TASK_SANDBOX, ENI)
    world.refusals = [CNIError(Code.IO_FAILURE, "busy")]
    with pytest.raises(CNIError, match="busy"):
        await world.sandboxes.detach(made, TASK_SANDBOX)
    assert world.there == {world.names.netns(made.id, TASK_SANDBOX)}
    await world.sandboxes.detach(made, TASK_SANDBOX)
    assert world.there == set()


@pytest.mark.parametrize(("mode", "last"), [("none", "remove"), ("host", "leave host")])
async def test_where_no_network_is_no_plugin_is_asked_to_detach(
    world: World, mode: str, last: str
) -> None:
    made = task(mode)
    await world.sandboxes.attach(made, "web", None)
    await world.sandboxes.detach(made, "web")
    assert "DEL" not in [each[0] for each in world.done]
    assert world.done[-1][0] == last
    assert (world.there, world.served) == (set(), {})


async def test_a_sandbox_is_seen_by_its_namespace_and_served_or_not(world: World) -> None:
    made, sandboxes = task(), world.sandboxes
    progress = first_progress(made)
    assert sandboxes.look(made, progress, "web") == Absent()
    await sandboxes.attach(made, "web", None)
    assert sandboxes.look(made, progress, "web") == Seen(NetworkSeen(served=True))
    world.served.clear()  # as for an agent that starts anew
    assert sandboxes.look(made, progress, "web") == Seen(NetworkSeen(served=False))


async def test_in_mode_host_a_sandbox_is_there_as_long_as_it_is_attached(world: World) -> None:
    made, sandboxes = task("host"), world.sandboxes
    early = first_progress(made)
    assert sandboxes.look(made, early, "web") == Absent()
    after = early.having_network("web", attachment=Attachment(mode="host"))
    assert sandboxes.look(made, after, "web") == Seen(NetworkSeen(served=False))
    await sandboxes.serve(made, "web")
    assert sandboxes.look(made, early, "web") == Seen(NetworkSeen(served=True))
