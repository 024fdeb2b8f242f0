"""An agent whose service manager keeps its sockets while it restarts, and clients of those."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cni.kernel import netns
from tests.fakes.servicemanager import ServiceManager
from tests.system.agent import ROOT, Agent
from tests.system.tasks import eventually

FIRST = 3
PAUSE_S = 0.002
"""Between an answer and the next request: the machine has other things to do as well."""
CLIENT_S = 60.0
"""Longer than any restart, so that a client that gives up has met a fault."""

_PASS_ON = f"""
import os, sys
for number, descriptor in enumerate(map(int, sys.argv[1].split()), {FIRST}):
    os.dup2(descriptor, number)
    os.set_inheritable(descriptor, False)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class ManagedAgent(Agent):
    """An agent whose sockets are kept while it restarts."""

    def __init__(self, root: Path, **settings: str) -> None:
        super().__init__(root, settings)
        self.manager = ServiceManager(root / "notify")

    def start(self) -> None:
        ready = self.manager.count("READY=1")
        flags = [f"--set={name}={value}" for name, value in self.settings.items()]
        agent = [sys.executable, "-m", "agent", "agent", *flags]
        held = [(name, each) for name, every in self.manager.held.items() for each in every]
        descriptors = [each for _, each in held]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _PASS_ON, " ".join(map(str, descriptors)), *agent],
                stdin=subprocess.DEVNULL,
                stderr=log,
                cwd=ROOT,
                env={
                    "ECS_LOGLEVEL": "warn",
                    **os.environ,
                    "NOTIFY_SOCKET": str(self.root / "notify"),
                    "LISTEN_FDS": str(len(held)),
                    "LISTEN_FDNAMES": ":".join(name for name, _ in held),
                },
                pass_fds=descriptors,
                start_new_session=True,
            )
        self.manager.until("READY=1", ready + 1)

    def renew(self) -> None:
        """Its successor serves, which is the same process."""
        ready = self.manager.count("READY=1")
        os.kill(self.pid, signal.SIGHUP)
        self.manager.until("READY=1", ready + 1)


@contextmanager
def managed_agent(**settings: str) -> Iterator[ManagedAgent]:
    """An agent that serves; at the end its tasks are stopped and nothing is left or held of it."""
    agent = ManagedAgent(Path(tempfile.mkdtemp(prefix="ht-")), **settings)
    try:
        agent.start()
        yield agent
        agent.end_all()
        assert agent.manager.names == []
        left = agent.left_behind()
        assert not left, "left behind:\n" + "\n".join(left)
    finally:
        sys.stderr.write(agent.said())
        agent.manager.close()
        agent.remove()


class Client:
    """Asks for a task's metadata again and again, each time on a new connection.

    From inside the namespace ``at``, if there is one, as a program of the container would whose
    first process is ``pid``.
    """

    def __init__(self, arn: str, pid: int, at: Path | None) -> None:
        self._uri = metadata_uri(pid)
        self._arn = arn
        self._at = at
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers = 0
        self.errors: list[Exception] = []
        self.longest_s = 0.0

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(CLIENT_S + 10)

    def until_answered(self) -> None:
        """It has had another answer from now on."""
        before = self.answers + 1  # one may have been asked for already
        eventually(lambda: self.answers > before, "an answer")

    def _run(self) -> None:
        if self._at is not None:
            netns.enter(self._at)
        while not self._stopping.wait(PAUSE_S):
            began = time.monotonic()
            try:
                self._ask()
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.errors.append(error)
            else:
                self.answers += 1
            self.longest_s = max(self.longest_s, time.monotonic() - began)

    def _ask(self) -> None:
        _, _, host, *path = self._uri.split("/")
        connection = http.client.HTTPConnection(host, timeout=CLIENT_S)
        try:
            connection.request("GET", "/" + "/".join(path) + "/task")
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, self._arn.encode() in body) == (200, True), body
        finally:
            connection.close()


def metadata_uri(pid: int) -> str:
    """Where the container with this process finds its metadata."""
    environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    variables = dict(each.partition(b"=")[::2] for each in environ)
    return variables[b"ECS_CONTAINER_METADATA_URI_V4"].decode()


@contextmanager
def clients(*places: tuple[str, int, Path | None]) -> Iterator[Sequence[Client]]:
    """Clients that all ask at once; ``places`` are what each is made from."""
    with ExitStack() as stack:
        yield [stack.enter_context(Client(*each)) for each in places]
