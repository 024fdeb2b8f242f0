"""Networks that mix our plugins with those of Debian's containernetworking-plugins, both ways.

Each is driven by programs only, as libcni does, and by our own runtime, where ours are functions.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cni.program import install
from cni.runtime.chain import Runtime
from cni.runtime.conflist import network_from
from tests.system.cnihost import DEBIAN, CniHost, Libcni, cni_host

PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CniHost]:
    with cni_host(tmp_path) as built:
        yield built


class InProcess:
    """Our runtime, with the interface of `Libcni`."""

    def __init__(self, host: CniHost, runtime: Runtime, conflist: dict[str, Any]) -> None:
        self._host = host
        self._runtime = runtime
        self._network = network_from(conflist)

    def add(self, name: str, netns_path: Path, **capabilities: Any) -> None:
        """ADD."""
        self._host.on_host(self._runtime.add, self._network, name, netns_path, "eth0", capabilities)

    def check(self, name: str, netns_path: Path, **capabilities: Any) -> None:
        """CHECK."""
        self._host.on_host(self._runtime.check, self._network, name, netns_path)

    def delete(self, name: str, netns_path: Path | None, **capabilities: Any) -> None:
        """DEL, with what was kept."""
        self._host.on_host(self._runtime.delete, self._network, name, netns_path)


Driver = Libcni | InProcess


@pytest.fixture(params=["programs", "in process"])
def drive(request: pytest.FixtureRequest, host: CniHost) -> Iterator[Any]:
    """Makes a driver of a list of plugins."""
    path = (host.root / "override", host.bin, DEBIAN)
    if request.param == "programs":
        yield lambda *plugins, path=path: Libcni(host, conflist(*plugins), path)
        return
    with host.context() as context:
        yield lambda *plugins, path=path: InProcess(
            host, Runtime(context, host.root / "cache", path), conflist(*plugins)
        )


def conflist(*plugins: dict[str, Any]) -> dict[str, Any]:
    # 1.1.1 of Debian's plugins speaks nothing newer.
    return {"cniVersion": "1.0.0", "name": "net", "plugins": list(plugins)}


def bridge(host: CniHost, kind: str, **ipam: Any) -> dict[str, Any]:
    """A bridge, ours or Debian's: all keys mean the same to both."""
    leased = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.88.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(host.root / "data"),
    }
    conf = {"type": kind, "bridge": "br0", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    return {**conf, "ipam": ipam or leased}


PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def come_and_go(
    host: CniHost, driver: Driver, meanwhile: Callable[[Path], None], *, checkable: bool = True
) -> None:
    """A container comes, is looked at and checked, and goes; twice over."""
    for name in ("c1", "c2"):
        inside = host.container(name)
        driver.add(name, inside, **PORTS)
        meanwhile(inside)
        if checkable:
            driver.check(name, inside, **PORTS)
        driver.delete(name, inside, **PORTS)
        driver.delete(name, inside, **PORTS)
        assert set(host.links()) == {"lo", "br0"}
    assert not list((host.root / "data").rglob("10.88.*"))
    assert "dport 8080" not in host.run("nft", "list", "ruleset")


def published(host: CniHost, inside: Path) -> None:
    with host.listen(inside, 80) as listener:
        assert host.fetch(host.host, "10.88.0.1", 8080, listener)
        assert host.fetch(host.host, "127.0.0.1", 8080, listener)


def test_our_portmap_publishes_ports_of_debians_bridge(host: CniHost, drive: Any) -> None:
    ours = {**PORTMAP, "type": "hostler-portmap", "table": "lab"}

    come_and_go(host, drive(bridge(host, "bridge"), ours), partial(published, host))


def test_debians_portmap_publishes_ports_of_our_bridge(host: CniHost, drive: Any) -> None:
    driver = drive(bridge(host, "hostler-bridge"), PORTMAP)
    come_and_go(host, driver, partial(published, host), checkable=False)


def test_checks_of_debians_portmap_fail_in_debians_own_networks_too(host: CniHost) -> None:
    """It looks for IPv6 chains of a container without IPv6: so no CHECK in tests that have it."""
    driver = Libcni(host, conflist(bridge(host, "bridge"), PORTMAP), (DEBIAN,))
    inside = host.container("c1")
    driver.add("c1", inside, **PORTS)

    with pytest.raises(AssertionError, match="could not check ipv6 dnat"):
        driver.check("c1", inside, **PORTS)
    driver.delete("c1", inside, **PORTS)


def test_debians_portmap_and_firewall_follow_our_bridge(host: CniHost, drive: Any) -> None:
    def forwarded(inside: Path) -> None:
        assert "10.88.0." in host.run("iptables", "-S", "CNI-FORWARD")
        published(host, inside)

    plugins = (bridge(host, "hostler-bridge"), {"type": "firewall"}, PORTMAP)
    come_and_go(host, drive(*plugins), forwarded, checkable=False)
    assert "10.88.0." not in host.run("iptables", "-S", "CNI-FORWARD")


def test_debians_tuning_changes_what_our_bridge_made(host: CniHost, drive: Any) -> None:
    """And our CHECK does not mind, since it came later."""
    key = "net.ipv4.conf.eth0.log_martians"
    tuning = {
        "type": "tuning",
        "mtu": 1400,
        "sysctl": {key: "1"},
        "dataDir": str(host.root / "tuning"),
    }

    def tuned(inside: Path) -> None:
        (link,) = json.loads(host.run("ip", "-j", "link", "show", "eth0", at=inside))
        assert link["mtu"] == 1400
        assert host.run("sysctl", "-n", key, at=inside) == "1\n"

    come_and_go(host, drive(bridge(host, "hostler-bridge"), tuning), tuned)


def test_debians_bandwidth_finds_the_host_end_of_our_pair(host: CniHost, drive: Any) -> None:
    limit = {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 8_000_000}

    def limited(inside: Path) -> None:
        assert "tbf" in host.run("tc", "qdisc", "show")

    come_and_go(host, drive(bridge(host, "hostler-bridge"), limit), limited)


def test_debians_static_gives_addresses_to_our_bridge(host: CniHost, drive: Any) -> None:
    static = {"type": "static", "addresses": [{"address": "10.88.0.9/24", "gateway": "10.88.0.1"}]}

    def addressed(inside: Path) -> None:
        assert "10.88.0.9/24" in host.run("ip", "address", "show", "eth0", at=inside)
        assert "10.88.0.1/24" in host.run("ip", "address", "show", "br0")

    come_and_go(host, drive(bridge(host, "hostler-bridge", **static)), addressed)


def test_our_ipam_gives_addresses_to_debians_bridge(host: CniHost, drive: Any) -> None:
    ipam = bridge(host, "bridge")["ipam"]

    def addressed(inside: Path) -> None:
        assert "10.88.0." in host.run("ip", "address", "show", "eth0", at=inside)

    renamed = bridge(host, "bridge", **{**ipam, "type": "hostler-ipam"})
    come_and_go(host, drive(renamed), addressed)


def test_our_programs_take_the_place_of_the_reference_plugins(host: CniHost, drive: Any) -> None:
    """With a list that says nothing of us."""
    install.install(host.root / "override", reference_names=True)

    come_and_go(host, drive(bridge(host, "bridge"), PORTMAP), partial(published, host))
    rules = host.run("nft", "list", "tables")
    assert "hostler-cni" in rules
    assert "ip nat" not in rules


def test_our_ipam_named_host_local_serves_debians_bridge(host: CniHost, drive: Any) -> None:
    """No other host-local is there."""
    override = host.root / "override"
    install.install(override, ["hostler-ipam"], reference_names=True)
    (override / "bridge").symlink_to(DEBIAN / "bridge")

    def leased(inside: Path) -> None:
        assert "10.88.0." in host.run("ip", "address", "show", "eth0", at=inside)

    come_and_go(host, drive(bridge(host, "bridge"), path=(override,)), leased)
