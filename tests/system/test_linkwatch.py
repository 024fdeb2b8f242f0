"""Watching the links of a scratch namespace while `ip` changes them; `ip` is also the oracle."""

import asyncio
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.host.interfaces.watch import watching
from cni.kernel import netns
from cni.kernel.linkwatch import Changes, LinkTable, LinkWatch
from cni.kernel.netns import NamespaceThread

MAC = "0a:00:00:00:00:07"
HIDDEN = ("veth", "hv")
DEADLINE_S = 20.0
PAIRS = 200


def ip(path: Path, *commands: str) -> str:
    """Run `ip` commands in a namespace, in one process."""
    batch = "\n".join(commands)
    command = ["nsenter", f"--net={path}", "ip", "-json", "-details", "-batch", "-"]
    return subprocess.run(command, input=batch, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def watch(thread: NamespaceThread, path: Path) -> Iterator[LinkWatch]:
    with thread.call(path, lambda: LinkWatch(HIDDEN)) as made:
        yield made


@pytest.fixture
def elsewhere(thread: NamespaceThread, tmp_path: Path) -> Iterator[Path]:
    """Another namespace, where NICs come from."""
    made = tmp_path / "netns" / "elsewhere"
    thread.create(made)
    yield made
    netns.remove(made)


def seen(watch: LinkWatch, *, until: Callable[[LinkTable], bool]) -> Changes:
    """Read whenever the kernel says something, until the table is so; returns the last changes."""
    deadline = time.monotonic() + DEADLINE_S
    with selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        while True:
            changes = watch.read()
            if until(watch.links):
                return changes
            assert selector.select(deadline - time.monotonic()), list(watch.links)


def readable(watch: LinkWatch) -> bool:
    """Whether the kernel has queued anything for the watch; it does so while it is asked."""
    with selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        return bool(selector.select(0))


def name_of(table: LinkTable) -> str | None:
    nic = table.nic_by_mac(MAC)
    return nic.name if nic else None


def move(name: str, to: Path) -> str:
    """The command that moves a link to the namespace at `to`."""
    return f"link set {name} netns {to}"


def test_a_nic_that_appears_late_is_seen(watch: LinkWatch, path: Path, elsewhere: Path) -> None:
    assert [each.name for each in watch.links] == ["lo"]
    ip(elsewhere, f"link add nic0 address {MAC} type veth peer name wire")
    assert not readable(watch)
    ip(elsewhere, move("nic0", path))
    changes = seen(watch, until=lambda table: name_of(table) == "nic0")
    assert [(each.name, each.mac, each.kind) for each in changes.appeared] == [
        ("nic0", MAC, "veth")
    ]


def test_a_nic_that_is_there_at_first_is_seen(thread: NamespaceThread, path: Path) -> None:
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    with thread.call(path, LinkWatch) as late:
        assert name_of(late.links) == "nic0"


def test_a_rename_is_followed(watch: LinkWatch, path: Path) -> None:
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    seen(watch, until=lambda table: name_of(table) == "nic0")
    before = watch.links.nic_by_mac(MAC)
    ip(path, "link set nic0 name ens6")
    changes = seen(watch, until=lambda table: name_of(table) == "ens6")
    assert changes.gone == (before,)
    assert [each.index for each in changes.gone] == [each.index for each in changes.appeared]
    assert watch.links.by_name("nic0") is None


def test_a_nic_that_is_moved_away_is_gone_and_comes_back(
    watch: LinkWatch, path: Path, elsewhere: Path
) -> None:
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    seen(watch, until=lambda table: name_of(table) == "nic0")
    ip(path, move("nic0", elsewhere))
    changes = seen(watch, until=lambda table: name_of(table) is None)
    assert [each.name for each in changes.gone] == ["nic0"]
    ip(elsewhere, "link set nic0 name eth0", move("eth0", path))
    seen(watch, until=lambda table: name_of(table) == "eth0")


def test_ups_and_downs_are_no_change(watch: LinkWatch, path: Path) -> None:
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    ip(path, "link set nic0 up", "link set wire up")
    seen(watch, until=lambda table: name_of(table) == "nic0")
    ip(path, "link set nic0 down", "link set nic0 up", "link set wire mtu 1400")
    assert readable(watch)
    assert not watch.read()


def test_a_child_with_its_parents_mac_is_not_the_nic(watch: LinkWatch, path: Path) -> None:
    ip(
        path,
        f"link add nic0 address {MAC} type veth peer name wire",
        "link add link nic0 name child type macvlan mode passthru",
    )
    seen(watch, until=lambda table: table.by_name("child") is not None)
    child, nic = watch.links.by_name("child"), watch.links.by_name("nic0")
    assert child is not None
    assert nic is not None
    assert (child.mac, child.kind, child.parent) == (MAC, "macvlan", nic.index)
    assert watch.links.nic_by_mac(MAC) == nic


@pytest.mark.parametrize("prefix", HIDDEN)
def test_a_storm_of_veths_wakes_nobody(
    watch: LinkWatch, path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [f"link add {prefix}{at} type veth peer name {prefix}p{at}" for at in range(PAIRS)]
    ip(path, "link add br0 type bridge", "link set br0 up")
    seen(watch, until=lambda table: table.by_name("br0") is not None)
    ip(path, *made, *(f"link set {prefix}{at} up" for at in range(PAIRS)))
    heard: list[bytes] = []
    monkeypatch.setattr(watch, "_take", heard.append)
    assert not watch.read()
    assert len(heard) < 5  # what the kernel had yet to say of the bridge
    assert {each.name for each in watch.links} == {"lo", "br0"}


def test_a_storm_of_veths_costs_a_late_watch_little(thread: NamespaceThread, path: Path) -> None:
    ip(path, *(f"link add veth{at} type veth peer name vethp{at}" for at in range(PAIRS)))

    def opened() -> tuple[LinkWatch, float]:
        began = resource.getrusage(resource.RUSAGE_THREAD).ru_utime
        made = LinkWatch(HIDDEN)
        return made, resource.getrusage(resource.RUSAGE_THREAD).ru_utime - began

    late, used = thread.call(path, opened)
    with late:
        assert [each.name for each in late.links] == ["lo"]
        assert used < 0.05


def test_after_more_than_can_be_kept_everything_is_looked_at_anew(
    watch: LinkWatch, path: Path
) -> None:
    with socket.socket(fileno=os.dup(watch.fileno())) as queue:
        queue.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # room for one message or two
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    ip(path, *(f"link add other{at} type ifb" for at in range(20)), "link set nic0 name last")
    appeared = [each.name for each in watch.read().appeared]
    assert sorted(appeared) == sorted(["last", "wire", *(f"other{at}" for at in range(20))])
    ip(path, *(f"link del other{at}" for at in range(20)))
    assert len(watch.read().gone) == 20
    assert not watch.read()


def test_what_the_kernel_did_not_say_is_not_believed(
    watch: LinkWatch, thread: NamespaceThread, path: Path
) -> None:
    ip(path, f"link add nic0 address {MAC} type veth peer name wire")
    seen(watch, until=lambda table: name_of(table) == "nic0")
    nic = watch.links.nic_by_mac(MAC)
    assert nic is not None
    thread.call(path, partial(claim_deletion, nic.index))
    assert readable(watch)
    assert not watch.read()
    assert name_of(watch.links) == "nic0"


def claim_deletion(index: int) -> None:
    """Tell all who listen for links that one was deleted, as only root can."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as liar:
        liar.bind((0, 0))
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
        header = struct.pack("=IHHII", 16 + len(body), 17, 0, 0, 0)  # RTM_DELLINK, no request
        liar.sendto(header + body, (liar.getsockname()[0], 1))  # RTMGRP_LINK


def test_the_table_is_what_ip_shows(watch: LinkWatch, path: Path) -> None:
    ip(
        path,
        f"link add nic0 address {MAC} type veth peer name wire",
        "link add br0 type bridge",
        "link set nic0 master br0",
        "link add link wire name child type macvlan",
        "link set wire up",
        "link set child up alias task",
        "link add gone type ifb",
        "link del gone",
        "link add veth0 type veth peer name hv0",
    )
    seen(watch, until=lambda table: any(each.alias == "task" for each in table))
    shown = json.loads(ip(path, "link show"))
    names = {each["ifname"]: each["ifindex"] for each in shown}
    assert {
        (
            each["ifindex"],
            each["ifname"],
            each["address"],
            each.get("linkinfo", {}).get("info_kind", ""),
            names.get(each.get("link", ""), each.get("link_index", 0)),
            names.get(each.get("master", ""), 0),
            each.get("ifalias", ""),
        )
        for each in shown
        if not each["ifname"].startswith(HIDDEN)
    } == {
        (each.index, each.name, each.mac, each.kind, each.parent, each.master, each.alias)
        for each in watch.links
    }


async def test_the_bell_rings_for_nics_and_not_for_containers(watch: LinkWatch, path: Path) -> None:
    rung = asyncio.Event()
    with watching(watch, rung.set):
        ip(path, "link add veth0 type veth peer name hv0")
        assert not readable(watch)
        ip(path, f"link add nic0 address {MAC} type veth peer name wire")
        async with asyncio.timeout(DEADLINE_S):
            await rung.wait()
        assert name_of(watch.links) == "nic0"
        rung.clear()
        ip(path, "link del nic0")
        async with asyncio.timeout(DEADLINE_S):
            await rung.wait()
        assert name_of(watch.links) is None
