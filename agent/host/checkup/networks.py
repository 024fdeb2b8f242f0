"""What tasks' networks need of the kernel: kinds of interfaces, traffic control, nftables.

Nobody's list of features is believed: each is tried, interfaces in a namespace that is gone
afterwards, rules without being carried out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Network

from agent.config import ConfigError
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen
from agent.host.checkup.subject import Subject
from agent.host.interfaces import poolfile
from agent.settings import Settings
from cni.errors import CNIError
from cni.faults import shaping
from cni.firewall import ruleset
from cni.kernel import netns, rtnetlink
from cni.kernel.rtnetlink import Child, Peer

CHECK = "networks"

_MODULES = {"bridge": "bridge", "veth": "veth", "vlan": "8021q", "macvlan": "macvlan"}
_MAC, _OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
_MTU = 1500

Make = Callable[[str], None]


def check(
    subject: Subject,
    make: Make | None = None,
    shape: Callable[[], None] | None = None,
    rules: Callable[[str], None] = ruleset.try_table,
) -> Iterator[Outcome]:
    """The rest are what tries things, for tests. Raises OSError."""
    yield from _interfaces(subject.settings, make or make_interface)
    yield from _shaping(shape or shape_traffic)
    yield from _rules(subject.settings.nft_table, rules)


def _interfaces(settings: Settings, make: Make) -> Iterator[Outcome]:
    wanted = {"bridge": "bridge", "veth": "bridge", **dict.fromkeys(_for_tasks(settings), "awsvpc")}
    for kind, mode in wanted.items():
        try:
            make(kind)
        except OSError as error:
            if error.errno == errno.EPERM:
                yield Unseen(CHECK, f"interfaces of kind {kind}: only root may try")
                continue
            what = f"no interface of kind {kind} can be made, so no task in mode {mode} can start"
            cure = f"load the module {_MODULES[kind]}, or use a kernel that has it"
            yield Finding(CHECK, f"{what}: {error.strerror or error}", cure)
        else:
            yield Fact(CHECK, f"interfaces of kind {kind}")


def _for_tasks(settings: Settings) -> list[str]:
    """Kinds of interfaces that the settings promise to tasks; none where they can't be read."""
    if settings.eni_provider == "macvlan":
        return ["macvlan"]
    if settings.eni_provider != "pool" or settings.enis is None:
        return []
    try:
        kinds = {each.kind for each in poolfile.read(settings.enis)}
    except (ConfigError, OSError):
        return []
    return sorted(kinds & _MODULES.keys())


def _shaping(shape: Callable[[], None]) -> Iterator[Outcome]:
    try:
        shape()
    except PermissionError:
        yield Unseen(CHECK, "traffic control: only root may try")
    except (CNIError, OSError) as error:
        # No finding: who wants it is told by the answer to a task that asks for it.
        yield Fact(CHECK, f"tasks can't ask for latency or loss in their networks: {error}")
    else:
        yield Fact(CHECK, "traffic control for injected faults: prio, netem, u32, flow")


def _rules(table: str, rules: Callable[[str], None]) -> Iterator[Outcome]:
    try:
        rules(table)
    except CNIError as error:
        if "Operation not permitted" in str(error):
            yield Unseen(CHECK, "nftables: only root may try")
            return
        cure = (
            "install the package nftables (0.9.4 or newer), and a kernel with nf_tables, nft_nat,"
            " nft_fib_inet, nft_ct and nft_masq or these modules; 'nft list tables' tells more"
        )
        yield Finding(CHECK, f"the rules of bridge networks can't be made: {error}", cure)
    else:
        yield Fact(CHECK, "nftables takes the rules of bridge networks")


def make_interface(kind: str) -> None:
    """An interface of this kind can be made; it is gone again. Raises OSError."""
    netns.in_new(partial(_make, kind))


def shape_traffic() -> None:
    """Traffic can be shaped as tasks may ask for it; it is not. Raises CNIError, OSError."""
    netns.in_new(_shape)


def _make(kind: str) -> None:
    with rtnetlink.open_socket() as links, netns.descriptor(None) as here:
        if kind == "bridge":
            links.execute([rtnetlink.new_bridge("parent", _MAC, _MTU)])
            return
        links.execute([rtnetlink.new_veth("parent", 0, _MTU, Peer(here, "peer", _MAC))])
        child = Child(here, 0, "child", rtnetlink.require_link(links, "parent").index)
        if kind == "macvlan":
            links.execute([rtnetlink.new_macvlan(child, "bridge")])
        if kind == "vlan":
            links.execute([rtnetlink.new_vlan(child, 1)])


def _shape() -> None:
    with rtnetlink.open_socket() as links, shaping.controlling(links) as control:
        asked = shaping.Shaping((IPv4Network("192.0.2.0/24"),), flows_percent=1, delay_ms=1)
        shaping.start(control, [rtnetlink.require_link(links, "lo").index], asked)
