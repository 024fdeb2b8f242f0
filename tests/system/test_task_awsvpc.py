"""Tasks with an interface of their own, each a macvlan child below one NIC of the host."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from cni.portmap.mappings import Protocol
from tests.system import rolelab, vpclab
from tests.system.agent import Agent, running_agent
from tests.system.netlab import connected
from tests.system.tasknet import HERE, awsvpc, interface, namespace
from tests.system.tasks import DEADLINE_S, SERVES, WAITS, Json, Task, needs, output, shell
from tests.system.vpclab import GATEWAY, GATEWAY6, IMDS, IMDS6, Vpc

LIMIT = 3
NIC = f"v{os.getpid()}"
PAGE = "Hello from Hostler\n"
WEB = f"trap 'exit 0' TERM; httpd -p 8080 -h /var/www; echo up; {WAITS}"


def group(name: str, ingress: list[Json], egress: list[Json]) -> Json:
    """A security group as EC2 describes it."""
    permissions = {"IpPermissions": ingress, "IpPermissionsEgress": egress}
    return {"GroupId": f"sg-{name}", "GroupName": name, **permissions}


def permission(protocol: str, port: int | None, *cidrs: str) -> Json:
    """A rule of a security group; without a port it is about all."""
    ports = {} if port is None else {"FromPort": port, "ToPort": port}
    v4 = [{"CidrIp": each} for each in cidrs if ":" not in each]
    v6 = [{"CidrIpv6": each} for each in cidrs if ":" in each]
    return {"IpProtocol": protocol, **ports, "IpRanges": v4, "Ipv6Ranges": v6}


GROUPS = {
    "SecurityGroups": [
        group(
            "web",
            [permission("tcp", 8080, "0.0.0.0/0", "::/0")],
            [permission("-1", None, "0.0.0.0/0")],
        ),
        group("closed", [], [permission("udp", 53, f"{GATEWAY}/32")]),
    ]
}


@dataclass(frozen=True, slots=True)
class World:
    """An agent, and the network that the NIC of its host is plugged into."""

    agent: Agent
    vpc: Vpc


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("awsvpc")
    groups = root / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    with vpclab.vpc(root) as vpc:
        vpc.cable(HERE, NIC, "02:00:00:00:01:01")
        output("ip", "link", "set", NIC, "up")
        settings = {
            "HOSTLER_ENI_PARENT": NIC,
            "HOSTLER_ENI_SUBNET": "10.0.1.0/24,2001:db8:1::/64",
            "HOSTLER_ENI_RANGE": "10.0.1.100-10.0.1.120,2001:db8:1::100-2001:db8:1::120",
            "HOSTLER_ENI_LIMIT": str(LIMIT),
            "HOSTLER_SECURITY_GROUPS": str(groups),
        }
        with running_agent(**settings) as agent:
            yield World(agent, vpc)


@pytest.fixture(autouse=True)
def _interfaces_are_free(world: World) -> Iterator[None]:
    yield
    world.agent.end_tasks()


def running(world: World, *containers: Json, **asked: Any) -> Task:
    """A task that runs, whose last container has said something."""
    task = awsvpc(world.agent, *containers, **asked)
    task.until_running()
    task.until_log(containers[-1]["name"])
    return task


def ended(*tasks: Task) -> None:
    for each in tasks:
        each.stop(force=True)
    for each in tasks:
        each.until_closed()
        assert each.leftovers() == []


def addresses(task: Task) -> tuple[str, str]:
    """The task's own, of IPv4 and IPv6."""
    told = interface(task)
    return told["privateIPv4Address"], told["ipv6Address"]


def test_a_task_has_the_credentials_of_its_role_and_of_no_other(world: World) -> None:
    rolelab.write_roles(
        world.agent, "[default]\naws_access_key_id = AKID1\naws_secret_access_key = s\n"
    )
    url = "http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    role = {"overrides": {"taskRoleArn": rolelab.ROLE}}
    task = running(world, shell("app", f"wget -qO- {url}; {SERVES}"), **role)
    told = json.loads(task.log("app")[0].removesuffix("up\n"))
    assert (told["RoleArn"], told["AccessKeyId"]) == (rolelab.ROLE, "AKID1")
    stolen = f"http://169.254.170.2{rolelab.relative_uri(task)}"
    other = running(world, shell("app", f"wget -qO- {stolen} 2>&1; {SERVES}"), **role)
    assert "400 Bad Request" in other.log("app")[0]
    ended(task, other)


def test_containers_of_a_task_share_localhost_and_one_namespace(world: World) -> None:
    look = "readlink /proc/self/ns/net; ls /sys/class/net | tr '\\n' ' '; echo"
    ask = f"{look}; until wget -qO- http://127.0.0.1:8080/ 2>/dev/null; do usleep 20000; done"
    task = awsvpc(world.agent, shell("web", f"{look}; {WEB}"), shell("app", ask))
    task.until_closed()
    assert task.log("app") == [*task.log("web")[:2], PAGE]
    assert task.log("app")[1].split() == ["eth0", "lo"]
    assert task.leftovers() == []


def test_tasks_reach_each_other_and_the_gateway_in_both_families(world: World) -> None:
    web = running(world, shell("web", WEB))
    urls = [f"http://{web_at}:8080/" for web_at in (addresses(web)[0], f"[{addresses(web)[1]}]")]
    fetch = "; ".join(f"wget -qO- {each}" for each in urls)
    pings = f"ping -c1 -W20 {GATEWAY} >/dev/null && ping6 -c1 -W20 {GATEWAY6} >/dev/null && echo ok"
    other = awsvpc(world.agent, shell("app", f"{fetch}; {pings}"))
    other.until_closed()
    assert other.log("app") == [PAGE, PAGE, "ok\n"]
    for address in addresses(web):
        with world.vpc.listen(namespace(web), address, 9000) as listener:
            assert world.vpc.talk(world.vpc.gateway, address, listener)
    ended(web)


def test_a_port_is_the_containers_and_nothing_is_published_on_the_host(world: World) -> None:
    port = 40080
    web = shell("web", WEB.replace("8080", str(port)), portMappings=[{"containerPort": port}])
    task = running(world, web)
    assert task.container("web")["networkBindings"] == []
    with pytest.raises(ConnectionRefusedError):
        connected(Protocol.TCP, (IPv4Address("127.0.0.1"), port))
    table = world.agent.settings["HOSTLER_NFT_TABLE"]
    assert not [each for each in output("nft", "list", "table", "inet", table) if str(port) in each]
    address = IPv4Address(addresses(task)[0])
    client = world.vpc.threads.call(
        world.vpc.gateway, lambda: connected(Protocol.TCP, (address, port))
    )
    client.close()
    ended(task)


def test_the_task_and_its_metadata_tell_of_the_interface(world: World) -> None:
    ask = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4; echo; cat /sys/class/net/eth0/address"
    task = running(world, shell("app", f"{ask}; {SERVES}"))
    text, mac, _ = task.until_log("app", 3)
    (network,) = json.loads(text)["Networks"]
    told = interface(task)
    v4, v6 = addresses(task)
    assert network["NetworkMode"] == "awsvpc"
    assert network["IPv4Addresses"] == [v4]
    assert network["IPv6Addresses"] == [v6]
    assert network["MACAddress"] == told["macAddress"] == mac.strip()
    assert network["IPv4SubnetCIDRBlock"] == "10.0.1.0/24"
    assert network["SubnetGatewayIpv4Address"] == f"{GATEWAY}/24"
    assert network["IPv6SubnetCIDRBlock"] == "2001:db8:1::/64"
    assert "SubnetGatewayIpv6Address" not in network  # ECS tells it where there is no IPv4
    (attachment,) = task.shown()["attachments"]
    assert (attachment["type"], attachment["status"]) == ("ElasticNetworkInterface", "ATTACHED")
    (shown,) = task.container("app")["networkInterfaces"]
    assert shown["attachmentId"] == attachment["id"]
    assert (shown["privateIpv4Address"], shown["ipv6Address"]) == (v4, v6)
    ended(task)


def test_network_ls_and_inspect_show_the_way_to_the_task(world: World) -> None:
    task = running(world, shell("web", WEB, portMappings=[{"containerPort": 8080}]), groups=["web"])
    listed = world.agent.cli("network", "ls").stdout.splitlines()
    (line,) = [each for each in listed if task.id[:12] in each]
    drawn = world.agent.cli("network", "inspect", task.id).stdout
    v4, v6 = addresses(task)
    for each in (f"{v4}/24", f"{v6}/64", f"{NIC} macvlan"):
        assert each in line
        assert each in drawn
    assert line.split()[-1] == "web"
    for each in (f"gateway {GATEWAY} {GATEWAY6}", "security groups web", "[web]  8080/tcp"):
        assert each in drawn
    ended(task)


def test_host_name_and_hosts_file_are_those_of_the_interface(world: World) -> None:
    show = "hostname; cat /etc/hostname; cat /etc/hosts"
    first = shell("first", show, essential=False)
    app = shell("app", show, dependsOn=needs("first", "COMPLETE"))
    task = awsvpc(world.agent, first, app)
    task.until_closed()
    address = addresses(task)[0]
    name = f"ip-{address.replace('.', '-')}"
    lines = task.log("app")
    assert lines[:2] == [f"{name}\n"] * 2
    assert "127.0.0.1\tlocalhost\n" in lines
    assert f"{address}\t{name}\n" in lines
    assert task.log("first") == lines


def test_instance_metadata_is_out_of_reach(world: World) -> None:
    vpc = world.vpc
    task = running(world, shell("app", SERVES))
    for address, gateway in ((IMDS, GATEWAY), (IMDS6, GATEWAY6)):
        refused = pytest.raises(OSError, match="Invalid argument")
        with vpc.listen(vpc.gateway, address, 80) as metadata, refused:
            vpc.talk(namespace(task), address, metadata)
        with vpc.listen(vpc.gateway, gateway, 80) as other:
            vpc.talk(namespace(task), gateway, other)
    ended(task)


def test_more_tasks_than_interfaces_are_refused(world: World) -> None:
    tasks = [awsvpc(world.agent, shell("app", SERVES)) for _ in range(LIMIT)]
    answer = world.agent.call("RunTask", taskDefinition="own")
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:ENI"]
    assert answer["tasks"] == []
    for each in tasks:
        each.until_running()
    macs = {interface(each)["macAddress"] for each in tasks}
    assert len(macs) == LIMIT
    ended(*tasks)
    ended(running(world, shell("app", SERVES)))


@pytest.mark.parametrize("by", ["configuration", "tag"])
def test_a_security_group_lets_in_what_it_allows_and_nothing_else(world: World, by: str) -> None:
    app = shell("app", WEB)
    if by == "tag":
        tag = {"key": "hostler:security-groups", "value": "web"}
        task = running(world, app, tags=[tag])
    else:
        task = running(world, app, groups=["sg-web"])
    for address in addresses(task):
        with (
            world.vpc.listen(namespace(task), address, 8081) as closed,
            world.vpc.listen(namespace(task), address, 8080, socket.SOCK_DGRAM) as other,
        ):
            assert fetched(world, address) == PAGE
            assert not world.vpc.reaches(world.vpc.gateway, address, closed)
            assert not world.vpc.reaches(world.vpc.gateway, address, other)
    ended(task)


def test_a_security_group_lets_out_what_it_allows_and_nothing_else(world: World) -> None:
    vpc = world.vpc
    script = f"wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | wc -l; {SERVES}"
    task = running(world, shell("app", script), groups=["closed"])
    inside = namespace(task)
    with (
        vpc.listen(vpc.gateway, GATEWAY, 53, socket.SOCK_DGRAM) as resolver,
        vpc.listen(vpc.gateway, GATEWAY, 54, socket.SOCK_DGRAM) as other,
        vpc.listen(vpc.gateway, GATEWAY6, 53, socket.SOCK_DGRAM) as other6,
    ):
        assert vpc.talk(inside, GATEWAY, resolver)
        assert not vpc.reaches(inside, GATEWAY, other)
        assert not vpc.reaches(inside, GATEWAY6, other6)
    ended(task)


def fetched(world: World, address: str) -> str:
    """The page that the task's web server gives to somebody at the gateway."""

    def connect() -> socket.socket:
        return socket.create_connection((address, 8080), DEADLINE_S)

    with world.vpc.threads.call(world.vpc.gateway, connect) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            return answer.read().rpartition(b"\r\n\r\n")[2].decode()


def test_an_agent_that_ends_and_one_that_is_killed_disturb_nobody(world: World) -> None:
    task = running(world, shell("web", WEB))
    address = addresses(task)[0]
    shown, inode = interface(task), namespace(task).stat().st_ino
    for end in (world.agent.stop, world.agent.kill9):
        end()
        assert fetched(world, address) == PAGE
        world.agent.start()
        assert fetched(world, address) == PAGE
        assert interface(task) == shown
        assert namespace(task).stat().st_ino == inode
    ended(task)
