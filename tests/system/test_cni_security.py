"""The plugin hostler-firewall on the real kernel: connections that pass and that don't."""

import dataclasses
import json
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cni.awsvpc import plugin as awsvpc
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.kernel import loopback, netns
from cni.kernel.loopback import METADATA_ADDRESS
from cni.security import plugin as security
from cni.security.plugin import SecurityConf
from cni.spec import Args, Result
from tests.system import vpclab
from tests.system.vpclab import GATEWAY, GATEWAY6, Vpc

MAC = "02:aa:00:00:00:01"
OWN = {4: "10.0.1.7", 6: "2001:db8:1::7"}
FAR = {4: GATEWAY, 6: GATEWAY6}
ANYWHERE = ["0.0.0.0/0", "::/0"]
CONF = security.parse(Fields({}))
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

Rules = dict[str, list[dict[str, Any]]]


@dataclasses.dataclass
class Lab:
    """A task with an interface in the VPC; `far` is a neighbour, the gateway."""

    vpc: Vpc
    args: Args

    @property
    def task(self) -> Path:
        assert self.args.netns is not None
        return self.args.netns

    @property
    def far(self) -> Path:
        return self.vpc.gateway

    def told(self, groups: Rules | None) -> Args:
        runtime = {} if groups is None else {"securityGroups": groups}
        return dataclasses.replace(self.args, runtime=runtime)

    def apply(self, groups: Rules | None) -> Result:
        host = self.vpc.host
        return host.call(security.add, CONF, self.told(groups), host.context)

    def check(self, groups: Rules) -> None:
        self.vpc.host.call(security.check, CONF, self.told(groups), self.vpc.host.context)

    def delete(self, groups: Rules | None) -> None:
        self.vpc.host.call(security.delete, CONF, self.told(groups), self.vpc.host.context)

    def comes_in(self, version: int, port: int, protocol: str = "tcp") -> bool:
        """Whether the neighbour reaches the task."""
        with self.vpc.listen(self.task, OWN[version], port, KINDS[protocol]) as listener:
            return self.vpc.reaches(self.far, OWN[version], listener)

    def goes_out(self, version: int, port: int, protocol: str = "tcp") -> bool:
        """Whether the task reaches the neighbour."""
        with self.vpc.listen(self.far, FAR[version], port, KINDS[protocol]) as listener:
            return self.vpc.reaches(self.task, FAR[version], listener)

    def nft(self, *words: str) -> str:
        """Run nft(8) in the task's namespace."""
        run = partial(subprocess.run, ["nft", *words], capture_output=True, text=True, check=True)
        return str(self.vpc.threads.call(self.task, run).stdout)

    def tables(self) -> list[str]:
        listed = json.loads(self.nft("-j", "list", "tables"))["nftables"]
        return [each["table"]["name"] for each in listed if "table" in each]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with vpclab.vpc(tmp_path) as vpc:
        vpc.plug(vpc.host, "wan0", MAC)
        eni = {
            "eniMACAddress": MAC,
            "eniIPAddresses": [f"{OWN[4]}/24", f"{OWN[6]}/64"],
            "gatewayIPAddresses": [GATEWAY, GATEWAY6],
        }
        args = vpc.task("a", eni)
        network = awsvpc.parse(Fields({"name": "vpc"}))
        made = vpc.host.call(awsvpc.add, network, args, vpc.host.context)
        built = Lab(vpc, dataclasses.replace(args, prev=made))
        for address in FAR.values():  # until the cable is plugged in, which takes a moment
            with vpc.listen(built.far, address, 7) as listener:
                vpc.talk(built.task, address, listener)
        yield built


def rule(protocol: str = "tcp", ports: str = "", cidrs: list[str] = ANYWHERE) -> dict[str, Any]:
    return {"protocol": protocol, "ports": ports, "cidrs": cidrs}


def test_without_groups_nothing_is_made_and_all_passes(lab: Lab) -> None:
    assert lab.apply(None) == lab.args.prev

    assert lab.tables() == []
    for version in (4, 6):
        assert lab.comes_in(version, 80)
        assert lab.goes_out(version, 80)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_only_what_ingress_allows_comes_in_and_its_answers_go_out(
    lab: Lab, version: int, protocol: str
) -> None:
    groups = {"ingress": [rule(protocol, "80-90"), rule(protocol, "443")], "egress": []}

    assert lab.apply(groups) == lab.args.prev

    for port, passes in ((79, False), (80, True), (90, True), (91, False), (443, True)):
        assert lab.comes_in(version, port, protocol) is passes, port
    other = {"tcp": "udp", "udp": "tcp"}[protocol]
    assert not lab.comes_in(version, 80, other)
    assert not lab.goes_out(version, 80, protocol)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_only_what_egress_allows_goes_out_and_its_answers_come_in(
    lab: Lab, version: int, protocol: str
) -> None:
    lab.apply({"ingress": [], "egress": [rule(protocol, "5432")]})

    assert lab.goes_out(version, 5432, protocol)
    assert not lab.goes_out(version, 5433, protocol)
    assert not lab.comes_in(version, 5432, protocol)


@pytest.mark.parametrize("version", [4, 6])
def test_the_network_of_the_other_side_counts(lab: Lab, version: int) -> None:
    near = {4: f"{GATEWAY}/32", 6: f"{GATEWAY6}/128"}[version]
    elsewhere = {4: "10.0.1.128/25", 6: "2001:db8:2::/48"}[version]
    allows = {"ingress": [rule(cidrs=[near])], "egress": [rule(cidrs=[near])]}
    denies = {"ingress": [rule(cidrs=[elsewhere])], "egress": [rule(cidrs=[elsewhere])]}

    lab.apply(allows)
    assert lab.comes_in(version, 80)
    assert lab.goes_out(version, 80)
    other = 10 - version
    assert not lab.comes_in(other, 80)
    assert not lab.goes_out(other, 80)

    lab.apply(denies)
    assert not lab.comes_in(version, 80)
    assert not lab.goes_out(version, 80)


def test_a_direction_that_is_not_spoken_of_is_free(lab: Lab) -> None:
    lab.apply({"ingress": []})
    assert not lab.comes_in(4, 80)
    assert lab.goes_out(4, 80)

    lab.apply({"egress": []})
    assert lab.comes_in(4, 80)
    assert not lab.goes_out(4, 80)


@pytest.mark.parametrize("version", [4, 6])
def test_all_protocols_may_be_allowed_at_once(lab: Lab, version: int) -> None:
    lab.apply({"ingress": [rule("-1")], "egress": [rule("-1")]})

    for protocol in ("tcp", "udp"):
        assert lab.comes_in(version, 80, protocol)
        assert lab.goes_out(version, 80, protocol)


@pytest.mark.parametrize(("version", "protocol"), [(4, "icmp"), (6, "icmpv6")])
def test_ping_is_refused_unless_it_is_allowed(lab: Lab, version: int, protocol: str) -> None:
    echo = {"icmp": "8", "icmpv6": "128/0"}[protocol]
    lab.apply({"ingress": [rule("-1", cidrs=[])], "egress": []})
    assert not answers_ping(lab, version)

    lab.apply({"ingress": [rule(protocol, echo)], "egress": []})
    assert answers_ping(lab, version)

    lab.apply({"ingress": [rule(protocol)], "egress": []})
    assert answers_ping(lab, version)


def answers_ping(lab: Lab, version: int) -> bool:
    """Whether the task answers the neighbour: a datagram socket for ICMP, as ping(8) has it."""
    families = {
        4: (socket.AF_INET, socket.IPPROTO_ICMP),
        6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
    }
    family, protocol = families[version]
    request = bytes([8 if version == 4 else 128, 0, 0, 0, 0, 0, 0, 1])

    def socket_of_all_groups() -> socket.socket:
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
        return socket.socket(family, socket.SOCK_DGRAM, protocol)

    with lab.vpc.threads.call(lab.far, socket_of_all_groups) as pinging:
        pinging.settimeout(vpclab.REFUSED_S)
        pinging.sendto(request, (OWN[version], 0))
        try:
            answer = pinging.recv(100)
        except TimeoutError:
            return False
    return answer[0] == (0 if version == 4 else 129)


def test_nothing_but_neighbour_discovery_passes_when_all_is_denied(lab: Lab) -> None:
    lab.apply({"ingress": [], "egress": []})
    lab.vpc.ip(lab.far, "neigh", "flush", "dev", "vpc0")

    for version in (4, 6):
        assert not lab.comes_in(version, 80)
        assert not lab.goes_out(version, 80)
    found = lab.vpc.ip(lab.far, "-j", "neigh", "show", "dev", "vpc0")
    reached = {one["dst"] for one in json.loads(found) if one.get("lladdr") == MAC}
    assert set(OWN.values()) <= reached


def test_the_task_reaches_itself_and_its_metadata_when_all_is_denied(lab: Lab) -> None:
    lab.apply({"ingress": [], "egress": []})

    listen = partial(loopback.listen, METADATA_ADDRESS, 80)
    with lab.vpc.threads.call(lab.task, listen) as metadata:
        lab.vpc.talk(lab.task, str(METADATA_ADDRESS), metadata)
    for address in ("127.0.0.1", *OWN.values()):
        with lab.vpc.listen(lab.task, address, 8080) as listener:
            lab.vpc.talk(lab.task, address, listener)


def test_metadata_at_the_other_end_of_the_interface_stays_reachable(lab: Lab) -> None:
    lab.vpc.ip(lab.far, "addr", "add", f"{METADATA_ADDRESS}/32", "dev", "lo")
    lab.apply({"ingress": [], "egress": []})

    with lab.vpc.listen(lab.far, str(METADATA_ADDRESS), 80) as listener:
        assert lab.vpc.reaches(lab.task, str(METADATA_ADDRESS), listener)


def test_groups_are_changed_by_a_repeated_add_while_connections_live_on(lab: Lab) -> None:
    lab.apply({"ingress": [rule(ports="80")]})
    with lab.vpc.listen(lab.task, OWN[4], 80) as listener:
        connect = partial(socket.create_connection, (OWN[4], 80), vpclab.DEADLINE_S)
        with lab.vpc.threads.call(lab.far, connect) as client:
            served, _ = listener.accept()
            with served:
                lab.apply({"ingress": [rule(ports="81")]})
                client.send(b"still here")
                served.settimeout(vpclab.DEADLINE_S)
                assert served.recv(20) == b"still here"

    assert not lab.comes_in(4, 80)
    assert lab.comes_in(4, 81)
    lab.apply({})
    assert lab.comes_in(4, 80)
    assert lab.tables() == []


def test_other_interfaces_of_the_namespace_stay_open(lab: Lab) -> None:
    lab.vpc.ip(lab.task, "link add side0 type veth peer name side1")
    lab.vpc.ip(lab.task, "addr add 10.7.0.1/24 dev side0")
    other = lab.vpc.root / "netns" / "side"
    lab.vpc.threads.create(other)
    with other.open() as there:
        words = ["ip", "link", "set", "side1", "netns", f"/proc/self/fd/{there.fileno()}"]
        move = partial(subprocess.run, words, check=True, pass_fds=[there.fileno()])
        lab.vpc.threads.call(lab.task, move)
    lab.vpc.ip(lab.task, "link", "set", "side0", "up")
    lab.vpc.ip(other, "addr add 10.7.0.2/24 dev side1")
    lab.vpc.ip(other, "link", "set", "side1", "up")
    lab.apply({"ingress": [], "egress": []})

    with lab.vpc.listen(lab.task, "10.7.0.1", 80) as listener:
        lab.vpc.talk(other, "10.7.0.1", listener)


def test_check_finds_what_was_changed(lab: Lab) -> None:
    groups = {"ingress": [rule(ports="80-90"), rule("icmp")], "egress": [rule("-1")]}
    lab.apply(groups)
    lab.check(groups)
    lab.check(groups)

    for damage in (
        "delete element inet hostler-cni ingress4 { 0.0.0.0/0 . tcp . 80-90 }",
        "add rule inet hostler-cni egress drop",
        "flush chain inet hostler-cni ingress",
        "delete table inet hostler-cni",
    ):
        lab.apply(groups)
        lab.nft(damage)
        with pytest.raises(CNIError, match="rules of container a were changed") as caught:
            lab.check(groups)
        assert caught.value.code == Code.CHECK_FAILED
    assert list((lab.vpc.host.state / "security").iterdir()) == []


def test_delete_lifts_all_and_may_be_repeated(lab: Lab) -> None:
    groups: Rules = {"ingress": [], "egress": []}
    lab.apply(groups)

    lab.delete(groups)
    lab.delete(groups)

    assert lab.tables() == []
    assert lab.comes_in(4, 80)
    netns.remove(lab.task)
    lab.delete(groups)
    lab.delete(None)


def test_a_wrong_rule_changes_nothing(lab: Lab) -> None:
    lab.apply({"ingress": [rule(ports="80")]})
    before = lab.nft("list", "ruleset")

    with pytest.raises(CNIError) as caught:
        lab.apply({"ingress": [rule(ports="80"), rule(ports="x")]})

    assert caught.value.code == Code.INVALID_CONFIG
    assert caught.value.msg.startswith("runtimeConfig.securityGroups.ingress[1].ports must be")
    assert lab.nft("list", "ruleset") == before


def test_it_must_be_chained_and_have_a_namespace(lab: Lab) -> None:
    context = lab.vpc.host.context
    alone = dataclasses.replace(lab.told({"ingress": []}), prev=None)
    with pytest.raises(CNIError, match="must come after") as caught:
        lab.vpc.host.call(security.add, CONF, alone, context)
    assert caught.value.code == Code.INVALID_CONFIG
    for path in (lab.vpc.host.path, lab.vpc.root / "gone", None):
        crooked = dataclasses.replace(lab.told({"ingress": []}), netns=path)
        with pytest.raises(CNIError) as caught:
            lab.vpc.host.call(security.add, CONF, crooked, context)
        assert caught.value.code == Code.INVALID_NAMESPACE


def test_gc_removes_what_an_interrupted_check_left(lab: Lab) -> None:
    left = lab.vpc.host.state / "security" / "a@eth0"
    lab.vpc.threads.create(left)

    lab.vpc.host.call(security.gc, CONF, [], lab.vpc.host.context)

    assert not left.exists()


def test_status_needs_nft(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.vpc.host.call(security.status, CONF, lab.vpc.host.context)

    monkeypatch.setenv("PATH", str(lab.vpc.root))
    with pytest.raises(CNIError, match="nft is not installed") as caught:
        lab.vpc.host.call(security.status, CONF, lab.vpc.host.context)
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE


def test_the_tables_name_is_the_networks(lab: Lab) -> None:
    conf = security.parse(Fields({"table": "own"}))
    lab.vpc.host.call(security.add, conf, lab.told({"ingress": []}), lab.vpc.host.context)

    assert lab.tables() == ["own"]
    assert conf == SecurityConf("own")
    with pytest.raises(CNIError, match="is not a name for an nftables table"):
        security.parse(Fields({"table": "a b"}))
