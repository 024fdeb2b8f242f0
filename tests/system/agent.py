"""A real agent with a private root, for system tests, and a look at what it leaves behind."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import psutil

from agent.cli import tasks
from agent.cli.client import Answer, Client
from agent.cli.stop import until_closed
from agent.cli.trial import private_settings, spawn_agent, until_ready
from agent.host.checkup import doctor
from tests.system.inventory import tables

END_S = 30.0
AILMENTS = ("strays", "data", "limits", *(name for name, _ in doctor.CHECKS))
"""Of ``doctor``'s checks those that depend on what the agent and its tasks did."""

ROOT = Path(__file__).parents[2]


class Process(Protocol):
    """A child process of ours, as ``subprocess`` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...


class Agent:
    """An agent below ``root``; started by ``start``, and again after ``stop`` or ``kill9``."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        self.root = root
        self.settings = {**private_settings(root), **settings}
        self.socket = Path(self.settings["HOSTLER_RUN_DIR"]) / "api.sock"
        self._log = root / "agent.log"
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Process id of the agent, which must have been started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """It serves."""
        address = self.root / "notify"
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
            self._log.open("ab") as log,
        ):
            notify.bind(str(address))
            self._process = self._spawned(address, log)
            until_ready(self._process.pid, notify)

    @property
    def running(self) -> bool:
        """Whether its process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """Its log so far, of all its runs: warnings and errors."""
        return self._log.read_text()

    def stop(self) -> int:
        """It has ended after SIGTERM; gives its exit code."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """It has ended after SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Another one serves."""
        self.stop()
        self.start()

    def call(self, name: str, **body: Any) -> Answer:
        """Answer of an API call."""
        return Client(self.socket).call(name, body, wait_s=float(body.get("waitSeconds", 0)))

    def run(self, definition: Mapping[str, Any], **asked: Any) -> str:
        """ARN of a task of that definition, just accepted."""
        registered = self.call("RegisterTaskDefinition", **definition)["taskDefinition"]
        answer = self.call("RunTask", taskDefinition=registered["taskDefinitionArn"], **asked)
        return str(answer["tasks"][0]["taskArn"])

    def cli(self, *arguments: str, **given: Any) -> subprocess.CompletedProcess[str]:
        """``hostler`` with these arguments, pointed at this agent, run to its end."""
        command = self.command(*arguments)
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **given
        )

    def ailments(self) -> list[str]:
        """What ``doctor`` finds wrong with the agent and its tasks, whatever the machine is like.

        By checks that are not those of the host, which say something of this machine.
        """
        told = json.loads(self.cli("doctor", "--json").stdout)
        ours = [each for each in told["findings"] if each["check"] in AILMENTS]
        return [f"{each['check']}: {each['what']}" for each in ours]

    def command(self, *arguments: str) -> list[str]:
        """The command line of ``cli``."""
        return [sys.executable, "-m", "agent", *arguments, "--socket", str(self.socket)]

    def end_all(self) -> None:
        """Every task is closed and the agent has ended. It is started for that if need be."""
        self.end_tasks()
        self.stop()

    def end_tasks(self) -> None:
        """Every task is closed. The agent is started for that if need be."""
        if not self.running:
            self.start()
        client = Client(self.socket)
        arns = tasks.all_arns(client)
        for arn in arns:
            client.call("StopTask", {"task": arn, "force": True})
        for arn in arns:
            until_closed(client, arn)

    def left_behind(self) -> list[str]:
        """What stays on the host of this agent's, apart from its directories.

        The kernel takes interfaces down some milliseconds after their namespace.
        """
        deadline = time.monotonic() + END_S
        while (left := self._there()) and time.monotonic() < deadline:
            time.sleep(0.05)  # noqa: TID251 - there is no event for all of these
        return left

    def _there(self) -> list[str]:
        table = self.settings["HOSTLER_NFT_TABLE"]
        return [
            *(f"mount {each}" for each in self._mounts()),
            *(f"link {each}" for each in self._links()),
            *(f"table {each}" for _, each in tables() if each.startswith(table)),
            *(f"rule {each}" for each in self._rules()),
            *(f"cgroup {each}" for each in self._cgroups()),
            *(f"process {each.pid} {' '.join(each.info['cmdline'])}" for each in self._processes()),
        ]

    def remove(self) -> None:
        """Nothing is left of it whatever happened before. The last resort."""
        if self.running:
            self.kill9()
        if self._there():
            settings = [f"--set={name}={value}" for name, value in self.settings.items()]
            command = [sys.executable, "-m", "agent", "reset", "--force", *settings]
            subprocess.run(command, cwd=ROOT, check=False, timeout=300)
        for each in self._processes():
            with suppress(psutil.NoSuchProcess):
                each.kill()
        for mount in reversed(self._mounts()):
            subprocess.run(["umount", "--lazy", mount], check=False)
        for table in {each for _, each in tables()} & {self.settings["HOSTLER_NFT_TABLE"]}:
            subprocess.run(["nft", "delete", "table", "inet", table], check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def _spawned(self, notify: Path, log: IO[bytes]) -> Process:
        """The process, just started; it says on the socket ``notify`` when it serves."""
        return spawn_agent(self.settings, notify, log)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(END_S)

    def _mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines]
        return [each for each in points if each.startswith(str(self.root))]

    def _links(self) -> list[str]:
        prefixes = (self.settings["HOSTLER_BRIDGE"], self.settings["HOSTLER_VETH_PREFIX"])
        return [name for _, name in socket.if_nameindex() if name.startswith(prefixes)]

    def _rules(self) -> list[str]:
        """What is said of its bridge or table in tables of others."""
        listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True)
        words = (self.settings["HOSTLER_BRIDGE"], self.settings["HOSTLER_NFT_TABLE"])
        return [line for line in listed.stdout.splitlines() if any(each in line for each in words)]

    def _cgroups(self) -> list[Path]:
        name = self.settings["HOSTLER_CGROUP_PARENT"].removeprefix("/")
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        points = {line.split()[4] for line in mounts if " - cgroup" in line}
        return [path for each in points if (path := Path(each) / name).exists()]

    def _processes(self) -> list[psutil.Process]:
        """Those that name our root in their command line: agent, containerd, shims, log router."""
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if any(str(self.root) in word for word in each.info["cmdline"] or ())
        ]


@contextmanager
def running_agent(**settings: str) -> Iterator[Agent]:
    """An agent that serves; at the end all its tasks are stopped and nothing may be left of it."""
    with kept_clean(Agent(Path(tempfile.mkdtemp(prefix="ht-")), settings)) as agent:
        yield agent


A = TypeVar("A", bound=Agent)


@contextmanager
def kept_clean(agent: A) -> Iterator[A]:
    """The same for an agent of any kind, in a directory of its own."""
    try:
        agent.start()
        yield agent
        agent.end_all()
        left = agent.left_behind()
        assert not left, "left behind:\n" + "\n".join(left)
    finally:
        sys.stderr.write(agent.said())
        agent.remove()
