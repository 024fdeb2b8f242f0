"""What the ways work on: a context, networks of the same shape for each, and their directories.

Everything is in the sealed world's own network namespace, which ends with the run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from agent.doors.cni import PluginServer
from bench.network.ways import Executables, Floor, InProcess
from cni.context import Context, open_context
from cni.firewall import ruleset
from cni.kernel import netns, routes, rtnetlink
from cni.program import install
from cni.runtime.chain import Runtime
from cni.runtime.conflist import network_from

GO_PLUGINS = Path("/usr/lib/cni")
TABLE = "bench"
_READY_S = 10.0
_CABLE = IPv4Address("198.18.0.1")
_GATEWAY = IPv4Interface("10.231.0.1/16")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lab:
    """One context for all; directories below ``scratch``."""

    scratch: Path
    context: Context

    @property
    def namespaces(self) -> Path:
        """Where the namespaces are pinned."""
        return self.scratch / "netns"

    def in_process(self) -> InProcess:
        """As the agent does it."""
        runtime = Runtime(self.context, cache_dir=self.scratch / "cni")
        network = network_from(_list("agent", "hostler-", "10.230.0.0/16", self.scratch))
        return InProcess("hostler, in the agent", runtime, network, self.namespaces)

    def floor(self) -> Floor:
        """With a bridge of its own, and the table that the agent's way made."""
        ruleset.ensure_table(TABLE, self.context.firewall)
        links = self.context.links
        links.execute([rtnetlink.new_bridge("floor", "02:00:00:00:00:01", 1500)])
        bridge = rtnetlink.get_link(links, "floor")
        if bridge is None:
            raise RuntimeError("the bridge of the floor is not there")
        links.execute([routes.new_address(bridge.index, _GATEWAY)])
        return Floor(
            "hand-packed floor", self.context, bridge.index, TABLE, _GATEWAY, self.namespaces
        )

    def executables(self, name: str, subnet: str, agent: str) -> Executables:
        """Ours as programs; ``agent`` is the socket of an agent that answers for them, or none."""
        directory = self.scratch / "plugins"
        install.install(directory)
        plugins = _list(name.replace(" ", ""), "hostler-", subnet, self.scratch)["plugins"]
        environment = {"HOSTLER_CNI_SOCKET": agent, "PATH": os.environ["PATH"]}
        return Executables(name, self.context, directory, plugins, self.namespaces, environment)

    def reference(self) -> Executables | None:
        """The reference plugins, where they are installed."""
        if not (GO_PLUGINS / "bridge").exists():
            return None
        plugins = _list("gobr0", "", "10.233.0.0/16", self.scratch)["plugins"]
        environment = {"PATH": os.environ["PATH"]}
        return Executables(
            "reference plugins", self.context, GO_PLUGINS, plugins, self.namespaces, environment
        )


@contextmanager
def open_lab(scratch: Path) -> Iterator[Lab]:
    """Open sockets on the sealed world's network."""
    lab = Lab(scratch, open_context(scratch / "state"))
    try:
        yield lab
    finally:
        lab.context.close()
        for path in lab.namespaces.glob("*"):
            netns.remove(path)


def outside(lab: Lab) -> tuple[Path, IPv4Address]:
    """A machine next to this one: its namespace, and this host's address on the cable to it."""
    path = lab.namespaces / "outside"
    lab.context.namespaces.create(path)
    for command in (
        ("ip", "link", "add", "cable", "type", "veth", "peer", "name", "lan", "netns", str(path)),
        ("ip", "address", "add", f"{_CABLE}/24", "dev", "cable"),
        ("ip", "link", "set", "cable", "up"),
        ("nsenter", f"--net={path}", "ip", "address", "add", f"{_CABLE + 1}/24", "dev", "lan"),
        ("nsenter", f"--net={path}", "ip", "link", "set", "lan", "up"),
    ):
        subprocess.run(command, check=True)
    return path, _CABLE


@contextmanager
def answering(scratch: Path) -> Iterator[str]:
    """A server as the agent has one, for executables that ask it; gives its socket."""
    path, ready, done = scratch / "cni.sock", threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def call(work: Callable[[], bytes]) -> bytes:
        return work()

    async def serve() -> None:
        opened = open_context(scratch / "state")
        async with PluginServer(path, call, lambda: nullcontext(opened)):
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        if not ready.wait(_READY_S):
            raise RuntimeError("the plugin server does not serve")
        yield str(path)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def _list(bridge: str, prefix: str, subnet: str, scratch: Path) -> Json:
    """A bridge with addresses, default route, masquerade and published ports, of either maker."""
    ours: Json = {"table": TABLE} if prefix else {}
    ipam = "hostler-ipam" if prefix else "host-local"
    return {
        "cniVersion": "1.0.0",
        "name": "bench",
        "plugins": [
            {
                "type": f"{prefix}bridge",
                "bridge": bridge[:15],
                "isGateway": True,
                "isDefaultGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": ipam,
                    "ranges": [[{"subnet": subnet}]],
                    "dataDir": str(scratch / f"leases-{bridge}"),
                },
                **ours,
            },
            {"type": f"{prefix}portmap", "capabilities": {"portMappings": True}, **ours},
        ],
    }
