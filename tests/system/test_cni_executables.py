"""The installed executables against the rules of the specification, and the real kernel."""

import asyncio
import json
import string
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.doors.cni import PluginServer
from cni import formats, plugin
from cni.kernel import netns
from cni.runtime.chain import Runtime
from cni.runtime.conflist import network_from
from tests.system.cnihost import CniHost, Libcni, cni_host

ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/no/such/namespace",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "",
}
PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CniHost]:
    with cni_host(tmp_path) as built:
        yield built


def conflist(host: CniHost, version: str = "1.1.0") -> dict[str, Any]:
    return {
        "cniVersion": version,
        "name": "net",
        "plugins": [
            {
                "type": "hostler-bridge",
                "bridge": "br0",
                "isGateway": True,
                "isDefaultGateway": True,
                "ipMasq": True,
                "table": "lab",
                "ipam": {
                    "type": "hostler-ipam",
                    "dataDir": str(host.root / "data"),
                    "ranges": [[{"subnet": "10.88.0.0/24"}]],
                },
            },
            {"type": "hostler-portmap", "table": "lab", "capabilities": {"portMappings": True}},
        ],
    }


def leases(host: CniHost) -> list[str]:
    held = (host.root / "data").rglob("10.88.*")
    return sorted(path.name for path in held if not path.name.startswith("last"))


WRONG_ENVIRONMENTS: dict[str, tuple[dict[str, str], int]] = {
    "no container": ({"CNI_CONTAINERID": ""}, 4),
    "no namespace": ({"CNI_NETNS": ""}, 4),
    "no interface": ({"CNI_IFNAME": ""}, 4),
    "no path": ({"CNI_PATH": ""}, 4),
    "container with a slash": ({"CNI_CONTAINERID": "../c1"}, 4),
    "interface of 16 bytes": ({"CNI_IFNAME": "x" * 16}, 4),
    "interface with a space": ({"CNI_IFNAME": "a b"}, 4),
    "unknown command": ({"CNI_COMMAND": "ATTACH"}, 4),
    "arguments that are no pairs": ({"CNI_ARGS": "x"}, 4),
    "unknown arguments": ({"CNI_ARGS": "X=1"}, 4),
    "the host itself": ({"CNI_NETNS": "/proc/self/ns/net"}, 8),
    "check without a result": ({"CNI_COMMAND": "CHECK"}, 7),
    "garbage collection without a list": ({"CNI_COMMAND": "GC"}, 7),
}
WRONG_CONFIGURATIONS: dict[str, tuple[str, int]] = {
    "nothing": ("", 6),
    "half an object": ('{"name": "net"', 6),
    "a list": ("[]", 6),
    "no name": ('{"cniVersion": "1.0.0"}', 7),
    "a name with a slash": ('{"cniVersion": "1.0.0", "name": "a/b"}', 7),
    "no version": ('{"name": "net"}', 1),
    "a version to come": ('{"name": "net", "cniVersion": "9.0.0"}', 1),
    "a version that is a number": ('{"name": "net", "cniVersion": 1}', 6),
    "a result that is none": ('{"name": "net", "cniVersion": "1.0.0", "prevResult": []}', 6),
}


def complete(host: CniHost, name: str) -> dict[str, Any]:
    """A configuration with which nothing is wrong."""
    bridge, ports = conflist(host)["plugins"]
    confs = {
        "hostler-bridge": bridge,
        "hostler-ipam": {"ipam": bridge["ipam"]},
        "hostler-portmap": ports,
        "hostler-awsvpc": {},
        "hostler-firewall": {"capabilities": {"securityGroups": True}},
    }
    return {"name": "net", "cniVersion": "1.1.0", "type": name, **confs[name]}


@pytest.mark.parametrize("case", WRONG_ENVIRONMENTS)
@pytest.mark.parametrize("name", plugin.NAMES)
def test_a_wrong_environment_changes_nothing(host: CniHost, name: str, case: str) -> None:
    wrong, code = WRONG_ENVIRONMENTS[case]
    before = host.state()
    environ = {**ENVIRON, "CNI_PATH": str(host.bin), **wrong}
    answer = host.call(name, environ, json.dumps(complete(host, name)))

    assert answer.printed is not None
    assert (answer.status, answer.printed["code"]) == (1, code)
    assert answer.printed["msg"]
    assert host.state() == before


@pytest.mark.parametrize("case", WRONG_CONFIGURATIONS)
@pytest.mark.parametrize("name", plugin.NAMES)
def test_a_wrong_configuration_changes_nothing(host: CniHost, name: str, case: str) -> None:
    wrong, code = WRONG_CONFIGURATIONS[case]
    before = host.state()
    answer = host.call(name, {**ENVIRON, "CNI_PATH": str(host.bin)}, wrong)

    assert answer.printed is not None
    assert (answer.status, answer.printed["code"]) in [(1, code), (1, 7)]
    assert host.state() == before


@pytest.mark.parametrize("name", plugin.NAMES)
def test_version_and_no_command_need_nothing(host: CniHost, name: str) -> None:
    answer = host.call(name, {"CNI_COMMAND": "VERSION"}, "garbage")
    assert answer.status == 0
    assert answer.printed == {
        "cniVersion": "1.1.0",
        "supportedVersions": list(formats.VERSIONS),
    }
    answer = host.call(name, {}, "garbage")
    assert (answer.status, answer.printed) == (0, None)
    assert "CNI protocol versions supported" in answer.stderr


texts = st.text(string.printable, max_size=10)
garbage = st.dictionaries(
    st.sampled_from(["name", "bridge", "ipam", "mtu", "vlan", "runtimeConfig", "prevResult"]),
    st.none() | texts | st.integers() | st.lists(texts, max_size=2) | st.dictionaries(texts, texts),
)


@pytest.mark.timeout(300)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(plugin.NAMES),
    verb=st.sampled_from(["ADD", "DEL", "CHECK", "GC", "STATUS"]),
    stdin=st.binary(max_size=20) | garbage,
    environ=st.dictionaries(
        st.sampled_from(["CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS", "CNI_NETNS"]), texts
    ),
)
def test_garbage_is_answered_with_an_error_object(
    host: CniHost, name: str, verb: str, stdin: bytes | dict[str, Any], environ: dict[str, str]
) -> None:
    if isinstance(stdin, dict):
        stdin = json.dumps({**complete(host, name), **stdin}).encode()
    given = {**ENVIRON, "CNI_PATH": str(host.bin), "CNI_COMMAND": verb, **environ}
    answer = host.call(name, given, stdin)

    assert answer.status in (0, 1)
    if answer.status == 1:
        assert answer.printed is not None
        assert answer.printed["code"] > 0
        assert answer.printed["code"] != 999, answer
        assert answer.printed["cniVersion"] in formats.VERSIONS
        assert answer.stderr == ""


@pytest.mark.parametrize("version", formats.VERSIONS)
def test_a_container_comes_is_checked_and_goes(host: CniHost, version: str) -> None:
    inside = host.container("c1")
    runtime = Libcni(host, conflist(host, version), (host.bin,))
    result = runtime.add("c1", inside, portMappings=[PORT])

    assert result["cniVersion"] == version
    (ip,) = result["ips"]
    assert ip["address"] == "10.88.0.2/24"
    assert ip.get("version") == ("4" if version < "1" else None)
    assert result["interfaces"][ip["interface"]]["sandbox"] == str(inside)
    with host.listen(inside, 80) as listener:
        assert host.fetch(host.host, "127.0.0.1", 8080, listener)
    if version >= "0.4.0":
        runtime.check("c1", inside, portMappings=[PORT])

    runtime.delete("c1", inside, portMappings=[PORT])
    runtime.delete("c1", inside, portMappings=[PORT])
    runtime.results.clear()
    runtime.delete("c1", host.root / "gone")
    runtime.delete("c1", None)
    assert leases(host) == []
    assert host.links() == ["lo", "br0"]
    assert "8080" not in host.run("nft", "list", "ruleset")


def test_what_programs_made_an_agent_can_end_and_the_other_way_round(host: CniHost) -> None:
    inside, other = host.container("c1"), host.container("c2")
    programs = Libcni(host, conflist(host), (host.bin,))
    network = network_from(conflist(host))
    ports = {"portMappings": [PORT]}
    with host.context() as context:
        runtime = Runtime(context, host.root / "cache")

        made = programs.add("c1", inside, portMappings=[PORT])
        host.on_host(runtime.delete, network, "c1", inside, "eth0", ports)
        assert (leases(host), host.links()) == ([], ["lo", "br0"])

        result = host.on_host(runtime.add, network, "c2", other, "eth0", ports)
        programs.results["c2"] = formats.write_result(result, "1.1.0")
        assert made["interfaces"][0] == programs.results["c2"]["interfaces"][0]
        programs.check("c2", other, portMappings=[PORT])
        programs.delete("c2", other, portMappings=[PORT])
        assert (leases(host), host.links()) == ([], ["lo", "br0"])


def test_gc_removes_what_is_not_listed(host: CniHost) -> None:
    programs = Libcni(host, conflist(host), (host.bin,))
    for name in ("c1", "c2"):
        port = {**PORT, "hostPort": 8080 + int(name[1])}
        programs.add(name, host.container(name), portMappings=[port])
    valid = [{"containerID": "c2", "ifname": "eth0"}]
    environ = {"CNI_COMMAND": "GC", "CNI_PATH": str(host.bin)}
    for conf in programs.conflist["plugins"]:
        request = {**conf, "name": "net", "cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
        answer = host.call(conf["type"], environ, json.dumps(request))
        assert (answer.status, answer.printed) == (0, None), answer

    assert leases(host) == ["10.88.0.3"]
    rules = host.run("nft", "list", "ruleset")
    assert ("8081" in rules, "8082" in rules) == (False, True)
    programs.check("c2", host.root / "netns" / "c2", portMappings=[{**PORT, "hostPort": 8082}])


def test_status_says_whether_an_add_could_succeed(host: CniHost) -> None:
    bridge = complete(host, "hostler-bridge")
    environ = {"CNI_COMMAND": "STATUS", "CNI_PATH": str(host.bin)}
    assert host.call("hostler-bridge", environ, json.dumps(bridge)).status == 0

    host.run("ip", "link", "add", "br0", "type", "veth", "peer", "name", "br1")
    answer = host.call("hostler-bridge", environ, json.dumps(bridge))
    assert answer.printed is not None
    assert (answer.status, answer.printed["code"]) == (1, 50)


async def test_an_agent_does_what_programs_are_asked(host: CniHost, tmp_path: Path) -> None:
    """The programs find its socket, and their state directory is left alone."""
    asked: list[str] = []

    async def call(work: Any) -> bytes:
        asked.append("once")
        done: Future[bytes] = host.thread.submit(work)
        return await asyncio.wrap_future(done)

    path = tmp_path / "cni.sock"
    host.environ["HOSTLER_CNI_SOCKET"] = str(path)
    programs = Libcni(host, conflist(host), (host.bin,))
    inside = await asyncio.to_thread(host.container, "c1")
    with host.context() as context:
        async with PluginServer(path, call, lambda: nullcontext(context)):
            await asyncio.to_thread(programs.add, "c1", inside, portMappings=[PORT])
            await asyncio.to_thread(programs.check, "c1", inside, portMappings=[PORT])
            await asyncio.to_thread(programs.delete, "c1", inside, portMappings=[PORT])
    assert asked == ["once"] * 6
    assert (leases(host), host.links()) == ([], ["lo", "br0"])
    assert not (host.root / "state").exists()


def test_the_namespace_may_go_first(host: CniHost) -> None:
    inside = host.container("c1")
    programs = Libcni(host, conflist(host), (host.bin,))
    programs.add("c1", inside, portMappings=[PORT])
    netns.remove(inside)
    programs.delete("c1", inside, portMappings=[PORT])

    assert leases(host) == []
    assert "8080" not in host.run("nft", "list", "ruleset")
