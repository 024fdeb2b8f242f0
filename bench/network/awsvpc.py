"""Two tasks with macvlan interfaces of their own, and the same made bare beside them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.network.flows import Line
from bench.network.lab import Lab
from cni.kernel import netns
from cni.runtime.chain import Runtime
from cni.runtime.conflist import network_from

PARENT = "trunk"
_PORT = 9000


@contextmanager
def open_pairs(lab: Lab) -> Iterator[tuple[Line, Line]]:
    """A line between two tasks, and one between two bare namespaces, all on one parent."""
    for command in (
        ("link", "add", PARENT, "type", "veth", "peer", "name", f"{PARENT}-far"),
        ("link", "set", f"{PARENT}-far", "up"),
        ("link", "set", PARENT, "up"),
    ):
        subprocess.run(("ip", *command), check=True)
    runtime = Runtime(lab.context, cache_dir=lab.scratch / "cni")
    network = network_from({"cniVersion": "1.1.0", "name": "awsvpc", "plugins": [_PLUGIN]})
    paths = {name: lab.namespaces / name for name in ("task1", "task2", "bare1", "bare2")}
    for number, (name, path) in enumerate(paths.items(), start=1):
        lab.context.namespaces.create(path)
        address = f"10.236.0.{number}/24"
        if name.startswith("task"):
            eni = {"branchMACAddress": f"02:00:00:00:36:0{number}", "eniIPAddresses": [address]}
            runtime.add(network, name, path, capabilities={"eni": eni})
        else:
            lab.context.namespaces.call(path, partial(_bare, name, address, str(path)))
    tasks = Line(
        lab.context.namespaces, paths["task1"], paths["task2"], ("10.236.0.2", _PORT), _PORT
    )
    bare = Line(
        lab.context.namespaces, paths["bare1"], paths["bare2"], ("10.236.0.4", _PORT), _PORT
    )
    try:
        yield tasks, bare
    finally:
        for name, path in paths.items():
            if name.startswith("task"):
                runtime.delete(network, name, path)
            netns.remove(path)
        subprocess.run(("ip", "link", "del", PARENT), check=True)


def _bare(name: str, address: str, path: str) -> None:
    """A macvlan child by ip(8), in the namespace that this thread is in."""
    outside = ("nsenter", "--net=/proc/1/ns/net", "ip", "link")
    child = ("link", PARENT, "name", f"{name}x", "type", "macvlan", "mode", "bridge")
    for command in (
        (*outside, "add", *child),
        (*outside, "set", f"{name}x", "netns", path),
        ("ip", "link", "set", f"{name}x", "name", "eth0"),
        ("ip", "address", "add", address, "dev", "eth0"),
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "set", "eth0", "up"),
    ):
        subprocess.run(command, check=True)


_PLUGIN: dict[str, Any] = {
    "type": "hostler-awsvpc",
    "interfaceType": "macvlan",
    "master": PARENT,
    "capabilities": {"eni": True},
}
