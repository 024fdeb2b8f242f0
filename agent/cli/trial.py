"""``hostler trial``: runs one task definition on an agent made for it, and leaves nothing behind.

For ``./dev run`` and for whoever wants to try a task definition without installing anything. The
agent has a temporary root, a containerd of its own, and names on the host that no other agent uses.
"""

from __future__ import annotations

import ipaddress
import os
import random
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

import agent
from agent.cli.client import Client
from agent.cli.errors import CommandError
from agent.cli.follow import LEFT
from agent.cli.interrupts import Interrupts
from agent.cli.run import find_definition, start, stay
from agent.cli.screen import Text
from agent.cli.stop import until_closed

READY_S = 60.0
"""Deadline for the agent, and containerd below it, to serve."""

END_S = 60.0
"""Deadline for the agent to end once asked to."""

SUBNETS = ipaddress.IPv4Network("10.214.0.0/16")
FREE_PORTS = range(61000, 65536)
"""What Linux does not hand out by itself, by default (ip(7), ip_local_port_range)."""
PORTS_EACH = 500
"""Host ports that a trial has for itself."""


def trial(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A task definition as JSON.")],
) -> None:
    """Run one task on an agent of its own, which is gone afterwards."""
    with Interrupts() as interrupts, _private_root() as root:
        print(f"starting an agent and a containerd of its own in {root}", flush=True)
        with _private_agent(root, private_settings(root), interrupts) as client:
            code = LEFT if client is None else _run(client, file, interrupts)
    print("the agent has ended; nothing is left of it", flush=True)
    raise typer.Exit(code)


def _run(client: Client, file: str, interrupts: Interrupts) -> int:
    definition = find_definition(client, file)
    task = start(client, definition, {})
    screen = Text([each["name"] for each in definition["containerDefinitions"]])
    try:
        return stay(client, definition, task, screen, interrupts, logs=True)
    finally:  # left by the user or broken off: there is nobody else to end it
        client.call("StopTask", {"task": task["taskArn"], "force": True})
        until_closed(client, task["taskArn"])


def private_settings(root: Path) -> dict[str, str]:
    """Settings for an agent below ``root`` beside others of this host.

    Names and ports are drawn: two that publish ports have the same range now and then.
    """
    token = secrets.token_hex(3)
    first_port = random.randrange(FREE_PORTS.start, FREE_PORTS.stop - PORTS_EACH, PORTS_EACH)  # noqa: S311
    return {
        "HOSTLER_STATE_DIR": str(root / "state"),
        "HOSTLER_RUN_DIR": str(root / "run"),
        "HOSTLER_API_LISTEN": "off",
        "HOSTLER_INTROSPECTION_LISTEN": "off",
        "HOSTLER_CONTAINERD": "embedded",
        "HOSTLER_TASK_ROLES": str(root / "roles"),
        "ECS_AUDIT_LOGFILE": str(root / "audit.log"),
        "HOSTLER_BRIDGE": f"ht{token}",
        "HOSTLER_BRIDGE_SUBNET": str(free_subnet(routes(Path("/proc/net/route").read_text()))),
        "HOSTLER_NFT_TABLE": f"ht{token}",
        "HOSTLER_CGROUP_PARENT": f"/ht{token}",
        "HOSTLER_VETH_PREFIX": f"t{token[:3]}",
        "ECS_DYNAMIC_HOST_PORT_RANGE": f"{first_port}-{first_port + PORTS_EACH - 1}",
    }


def spawn_agent(
    settings: dict[str, str], notify: Path, log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """An agent that was just started; it says on the socket ``notify`` when it serves.

    Its words go to ``log``, by default to where ours go.

    In a session of its own: a Ctrl-C at the terminal is for the task, not for the agent.
    """
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "agent", *flags],
        stdin=subprocess.DEVNULL,
        cwd=Path(agent.__file__).parent.parent,  # where -m finds the package
        env={"ECS_LOGLEVEL": "warn", **os.environ, "NOTIFY_SOCKET": str(notify)},
        start_new_session=True,
        stderr=log,
    )


def until_ready(pid: int, notify: socket.socket) -> bool:
    """True once the agent with this process id serves.

    Raises CommandError if it ends or ``READY_S`` is over.
    """
    ended = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([notify.fileno(), ended], [], [], READY_S)
    finally:
        os.close(ended)
    if ended in ready:
        raise CommandError("the agent could not start")
    if not ready:
        raise CommandError(f"the agent does not serve after {READY_S:.0f} s")
    return True


@contextmanager
def _private_root() -> Iterator[Path]:
    """A directory that is removed at the end, unless something is still mounted below it."""
    root = Path(tempfile.mkdtemp(prefix="hostler-"))
    try:
        yield root
    finally:
        if str(root) in Path("/proc/self/mountinfo").read_text():
            raise CommandError(f"something is still mounted below {root}, so it was left")
        shutil.rmtree(root)


@contextmanager
def _private_agent(
    root: Path, settings: dict[str, str], interrupts: Interrupts
) -> Iterator[Client | None]:
    """A client of an agent with these settings, which ends afterwards; None after a signal."""
    address = root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        process = spawn_agent(settings, address)
        try:
            ready = interrupts.wait(lambda: until_ready(process.pid, notify))
            notify.close()  # what nobody reads would keep the agent's sockets open
            yield Client(Path(settings["HOSTLER_RUN_DIR"]) / "api.sock") if ready else None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S)
        print(f"hostler: the agent did not end within {END_S:.0f} s: killed", file=sys.stderr)


def routes(table: str) -> list[ipaddress.IPv4Network]:
    """Where this host's IPv4 packets go, from the text of /proc/net/route (proc(5))."""
    found = []
    for line in table.splitlines()[1:]:
        _, destination, *_, mask = line.split()[:8]
        found.append(ipaddress.IPv4Network(f"{_address(destination)}/{_address(mask)}"))
    return found


def _address(number: str) -> ipaddress.IPv4Address:
    """An address that the kernel wrote as a number in the machine's byte order."""
    return ipaddress.IPv4Address(int(number, 16).to_bytes(4, sys.byteorder))


def free_subnet(routes: list[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """A subnet of ``SUBNETS`` that overlaps no route but the default one, chosen at random."""
    taken = [each for each in routes if each.prefixlen > 0]
    free = [each for each in SUBNETS.subnets(new_prefix=24) if not any(map(each.overlaps, taken))]
    if not free:
        raise CommandError(f"this host routes all of {SUBNETS}: no subnet is left for a trial")
    return random.choice(free)  # noqa: S311
