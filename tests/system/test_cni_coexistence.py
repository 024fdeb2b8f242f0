"""Other firewalls on the host: what they block, and that containers are reached all the same.

Docker is played by the rules it writes; ufw and firewalld are the real ones, in the lab's network
namespace and with their files elsewhere.
"""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from cni.firewall import coexistence, networks, ruleset
from cni.firewall.networks import Network
from cni.portmap.mappings import PortMapping, Protocol
from tests.system import portlab
from tests.system.portlab import BRIDGE, HOST, OUTSIDE, PATIENCE_S, SECOND, SUBNETS, TABLE, Lab

CHAIN = "LAB-CNI-FORWARD"
START_S, END_S = 60.0, 30.0
"""Of firewalld, which takes a second of processor time for the one and for the other."""
FLAVOURS = ("nft", "legacy")
flavours = pytest.mark.parametrize("flavour", FLAVOURS)
versions = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


def opened(lab: Lab) -> tuple[str, ...]:
    return lab.on_host(coexistence.open_forwarding, TABLE, [BRIDGE])


def blocked(lab: Lab) -> tuple[str, ...]:
    return lab.on_host(coexistence.blocked_by, TABLE, [BRIDGE])


def closed(lab: Lab) -> None:
    lab.on_host(coexistence.close_forwarding, TABLE, [BRIDGE])


def iptables(lab: Lab, flavour: str, *rules: str) -> None:
    for base in ("iptables", "ip6tables"):
        lab.run(lab.host, *(f"{base}-{flavour} -w {rule}" for rule in rules))


def docker(lab: Lab, flavour: str) -> None:
    """What dockerd (20.10 to 27) leaves in the filter table with one network of its own."""
    iptables(
        lab,
        flavour,
        *(f"-N DOCKER{each}" for each in ("", "-USER", *(f"-ISOLATION-STAGE-{n}" for n in "12"))),
        "-A DOCKER-USER -j RETURN",
        "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
        "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
        "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
        "-A DOCKER-ISOLATION-STAGE-2 -j RETURN",
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -o docker0 -j DOCKER",
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
        "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
        "-P FORWARD DROP",
    )


def rules(lab: Lab) -> str:
    return "".join(
        lab.run(lab.host, f"{base}-{flavour} -w -S")
        for base in ("iptables", "ip6tables")
        for flavour in FLAVOURS
    )


def require_reached(lab: Lab) -> None:
    """A published port from outside, the way out, and no unpublished port, in both versions."""
    args = lab.container("web")
    lab.publish(args, PortMapping(80, 8080))
    assert args.prev is not None
    lab.run(lab.outside, *(f"ip route add {net} via {HOST[net.version]}" for net in SUBNETS))
    with (
        lab.listen(args.netns, Protocol.TCP, 80) as listener,
        lab.listen(lab.outside, Protocol.UDP, 9000) as far,
    ):
        for ip in args.prev.ips:
            version, address = ip.address.version, ip.address.ip
            assert lab.talk(lab.outside, (HOST[version], 8080), listener) == OUTSIDE[version]
            seen = lab.talk(args.netns, (OUTSIDE[version], 9000), far)
            assert seen in (HOST[version], SECOND[version])
            with pytest.raises(TimeoutError):
                lab.talk(lab.outside, (address, 80), listener, PATIENCE_S)


def require_not_reached(lab: Lab) -> None:
    args = lab.container("early")
    lab.publish(args, PortMapping(80, 8079))
    with lab.listen(args.netns, Protocol.TCP, 80) as listener:
        for version in (4, 6):
            with pytest.raises(OSError, match=r"timed out|unreachable|refused|denied"):
                lab.talk(lab.outside, (HOST[version], 8079), listener, PATIENCE_S)


def test_without_another_firewall_nothing_is_done(lab: Lab) -> None:
    before = lab.run(lab.host, "nft list ruleset")

    assert opened(lab) == blocked(lab) == ()

    assert lab.run(lab.host, "nft list ruleset") == before


@flavours
def test_beside_docker_containers_are_reached_and_docker_keeps_its_rules(
    lab: Lab, flavour: str
) -> None:
    docker(lab, flavour)
    before = rules(lab)
    require_not_reached(lab)
    assert len(blocked(lab)) == 2

    done = opened(lab)

    assert [each.partition(":")[0] for each in done] == [
        f"iptables-{flavour}", f"ip6tables-{flavour}"
    ]  # fmt: skip
    assert blocked(lab) == ()
    require_reached(lab)
    after = rules(lab)
    assert opened(lab) == ()
    assert rules(lab) == after

    closed(lab)
    closed(lab)
    assert rules(lab) == before


def test_a_policy_of_drop_alone_is_opened_too(lab: Lab) -> None:
    iptables(lab, "nft", "-P FORWARD DROP")
    require_not_reached(lab)
    opened(lab)
    require_reached(lab)


def test_rules_that_docker_put_first_at_its_start_are_passed_by_again(lab: Lab) -> None:
    docker(lab, "nft")
    opened(lab)
    iptables(lab, "nft", "-I FORWARD -j DROP", "-F DOCKER-USER", "-A DOCKER-USER -j RETURN")
    require_not_reached(lab)

    assert len(blocked(lab)) == 2
    assert len(opened(lab)) == 2
    assert rules(lab).count(f"-A FORWARD -m comment --comment hostler -j {CHAIN}") == 2
    require_reached(lab)


@flavours
def test_two_agents_side_by_side_do_not_fight_for_the_first_place(lab: Lab, flavour: str) -> None:
    docker(lab, flavour)
    opened(lab)
    lab.on_host(ruleset.ensure_table, "other", lab.context.firewall)
    lab.on_host(networks.enlist, lab.context.firewall, "other", Network("other0"))
    assert len(lab.on_host(coexistence.open_forwarding, "other", ["other0"])) == 2

    after = rules(lab)
    assert opened(lab) == ()
    assert lab.on_host(coexistence.open_forwarding, "other", ["other0"]) == ()
    assert rules(lab) == after
    require_reached(lab)

    lab.on_host(coexistence.close_forwarding, "other", ["other0"])
    assert "OTHER" not in rules(lab)
    assert blocked(lab) == ()


def test_another_set_of_bridges_replaces_the_former(lab: Lab) -> None:
    docker(lab, "nft")
    lab.on_host(coexistence.open_forwarding, TABLE, ["old0", "old1"])
    assert len(opened(lab)) == 2
    assert "old" not in rules(lab)


def test_a_chain_of_nftables_that_drops_is_named(lab: Lab) -> None:
    lab.run(
        lab.host,
        "nft add table inet strict",
        "nft add chain inet strict fw { type filter hook forward priority 0 \\; policy drop \\; }",
        "nft add chain inet strict in { type filter hook input priority 0 \\; policy drop \\; }",
    )
    assert blocked(lab) == (
        "nftables: chain fw of table inet strict drops what it does not accept",
    )


def needs(program: str) -> pytest.MarkDecorator:
    """For a firewall whose package switches it on: nobody should have to install it for a test."""
    absent = shutil.which(program) is None
    return pytest.mark.skipif(absent, reason=f"{program} is not installed")


@contextlib.contextmanager
def ufw(lab: Lab) -> Iterator[None]:
    """The real ufw, enabled: its configuration is changed in a mount namespace only."""
    script = lab.root / "ufw.sh"
    layer = lab.root / "layer"
    layer.mkdir()
    script.write_text(
        f"""set -e
        mount -t tmpfs none {layer}
        cp -a /etc/ufw {layer}/ufw
        mount --bind {layer}/ufw /etc/ufw
        mount -t tmpfs none /run
        "$@"
        """
    )
    lab.run(lab.host, f"unshare -m sh {script} ufw --force enable")
    yield
    lab.run(lab.host, f"unshare -m sh {script} /lib/ufw/ufw-init force-stop")


@needs("ufw")
def test_beside_ufw_containers_are_reached(lab: Lab) -> None:
    with ufw(lab):
        before = rules(lab)
        assert before.count("-P FORWARD DROP") == 2
        require_not_reached(lab)
        assert opened(lab)
        require_reached(lab)
        closed(lab)
        assert rules(lab) == before


BUS_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow eavesdrop="true"/>
    <allow send_destination="*" eavesdrop="true"/>
  </policy>
</busconfig>
"""


@pytest.fixture
def bus(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system bus of the lab's own."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    (tmp_path / "bus.conf").write_text(BUS_CONFIG.format(socket=tmp_path / "bus"))
    command = ["dbus-daemon", f"--config-file={tmp_path}/bus.conf", "--nofork", "--print-address"]
    with running(lab, command) as said:
        said.readline()  # the bus is there
        yield


@pytest.fixture
def firewalld(lab: Lab, bus: None, tmp_path: Path) -> Iterator[None]:
    """The real firewalld on that bus, in the lab's network namespace."""
    shutil.copytree("/etc/firewalld", tmp_path / "firewalld")
    daemon = [
        "firewalld", "--nofork", "--nopid", "--log-target=console",
        f"--system-config={tmp_path}/firewalld",
    ]  # fmt: skip
    with running(lab, daemon):
        wait_for_firewalld(lab)
        yield


@contextlib.contextmanager
def running(lab: Lab, command: list[str]) -> Iterator[IO[str]]:
    """A program that runs meanwhile, and what it writes."""
    start = partial(subprocess.Popen, stdout=subprocess.PIPE, text=True)
    process: subprocess.Popen[str] = lab.on_host(start, command)
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.terminate()
        process.communicate(timeout=END_S)


def wait_for_firewalld(lab: Lab) -> None:
    end = time.monotonic() + START_S
    state = partial(subprocess.run, ["firewall-cmd", "--state"], capture_output=True, check=False)
    while lab.on_host(state).returncode:
        assert time.monotonic() < end, "firewalld does not start"


@needs("firewalld")
@pytest.mark.usefixtures("bus")
def test_beside_a_bus_without_firewalld_nothing_is_done(lab: Lab) -> None:
    assert opened(lab) == blocked(lab) == ()


@needs("firewalld")
@pytest.mark.usefixtures("firewalld")
def test_beside_firewalld_containers_reach_the_zone_that_they_may_not_by_default(lab: Lab) -> None:
    lab.run(lab.host, "firewall-cmd --zone=external --change-interface=wan")
    args = lab.container("early")
    to = (OUTSIDE[4], 9000)
    with lab.listen(lab.outside, Protocol.UDP, 9000) as far:
        far.settimeout(PATIENCE_S)
        with pytest.raises(OSError, match=r"No route|timed out|refused"):
            lab.talk(args.netns, to, far, PATIENCE_S)
    assert blocked(lab) == (f"firewalld: {BRIDGE} is not in the zone trusted",)

    assert opened(lab) == (f"firewalld: {BRIDGE} is in the zone trusted",)

    assert opened(lab) == blocked(lab) == ()
    require_reached(lab)
    lab.run(lab.host, "firewall-cmd --reload")
    assert blocked(lab) == ()
    closed(lab)
    closed(lab)
    assert len(blocked(lab)) == 1
