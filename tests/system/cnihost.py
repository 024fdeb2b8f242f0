"""A host for plugins that are programs: a network namespace, and a runtime that drives them.

The runtime does as libcni does, and is independent of `cni.chain`: one program after the other,
each with the result of the one before on its standard input.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import psutil

from cni.context import Context, open_context
from cni.kernel import netns
from cni.kernel.netns import NamespaceThread
from cni.program import install

T = TypeVar("T")

DEBIAN: Final = Path("/usr/lib/cni")
DEADLINE_S: Final = 10.0


@dataclass
class Answer:
    """What a program left; `printed` is the JSON object on standard output, if any."""

    status: int
    printed: dict[str, Any] | None
    stderr: str


@dataclass
class CniHost:
    """The scratch host; `bin` has our executables, `environ` is for all of them."""

    root: Path
    host: Path
    threads: NamespaceThread
    thread: ThreadPoolExecutor
    bin: Path
    environ: dict[str, str] = field(default_factory=dict)

    def on_host(self, work: Callable[..., T], *args: object) -> T:
        """Call a function in the thread that lives on the scratch host."""
        return self.thread.submit(work, *args).result(60)

    @contextmanager
    def context(self) -> Iterator[Context]:
        """A context of the plugins, open on the scratch host."""
        opened = self.on_host(open_context, self.root / "agent")
        try:
            yield opened
        finally:
            self.on_host(opened.close)

    def container(self, name: str) -> Path:
        """A new namespace."""
        path = self.root / "netns" / name
        self.threads.create(path)
        return path

    def run(self, *command: str, at: Path | None = None) -> str:
        """What a command prints on the scratch host, or in another namespace."""
        entered = ["nsenter", f"--net={at or self.host}", *command]
        return subprocess.run(entered, check=True, capture_output=True, text=True).stdout

    def state(self) -> list[Any]:
        """What the kernel and the state directories hold."""
        told = [
            self.run("ip", "-j", "address"),
            self.run("ip", "-j", "route", "show", "table", "all"),
            self.run("nft", "-j", "list", "ruleset"),
        ]
        files = [str(path) for path in (self.root / "data").rglob("*")]
        return [*map(json.loads, (each or "[]" for each in told)), sorted(files)]

    def links(self) -> list[str]:
        """The names of the scratch host's interfaces."""
        return [each["ifname"] for each in json.loads(self.run("ip", "-j", "link"))]

    def call(self, plugin: str, environ: Mapping[str, str], stdin: bytes | str) -> Answer:
        """Run one program, found in `CNI_PATH` or ours."""
        search = environ.get("CNI_PATH") or str(self.bin)
        program = next(
            path
            for path in (Path(each) / plugin for each in search.split(":"))
            if path.is_file() and os.access(path, os.X_OK)
        )
        ran = subprocess.run(
            ["nsenter", f"--net={self.host}", program],
            env={**self.environ, **environ},
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=60,
        )
        printed = json.loads(ran.stdout) if ran.stdout.strip() else None
        return Answer(ran.returncode, printed, ran.stderr.decode(errors="replace"))

    def listen(self, at: Path, port: int) -> socket.socket:
        """A server socket on all IPv4 addresses of a namespace."""
        return self.threads.call(at, partial(_server, port))

    def fetch(self, source: Path, address: str, port: int, listener: socket.socket) -> str:
        """Connect from a namespace to where `listener` is said to be; the peer it sees."""
        client = self.threads.call(
            source, partial(socket.create_connection, (address, port), DEADLINE_S)
        )
        with client:
            served, peer = listener.accept()
            with served:
                served.sendall(b"hello")
            assert client.recv(5) == b"hello"
        return str(peer[0])


@dataclass
class Libcni:
    """A runtime with one network; plugins are looked for in `path`."""

    host: CniHost
    conflist: Mapping[str, Any]
    path: tuple[Path, ...]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, name: str, netns_path: Path, **capabilities: Any) -> dict[str, Any]:
        """ADD through the whole list; its result."""
        result: dict[str, Any] | None = None
        for conf in self.conflist["plugins"]:
            answer = self.ask("ADD", conf, name, netns_path, result, capabilities)
            assert answer.status == 0, answer
            result = answer.printed
        assert result is not None
        self.results[name] = result
        return result

    def check(self, name: str, netns_path: Path, **capabilities: Any) -> None:
        """CHECK through the whole list."""
        for conf in self.conflist["plugins"]:
            prev = self.results[name]
            answer = self.ask("CHECK", conf, name, netns_path, prev, capabilities)
            assert (answer.status, answer.printed) == (0, None), answer

    def delete(self, name: str, netns_path: Path | None, **capabilities: Any) -> None:
        """DEL through the whole list, backward."""
        for conf in reversed(self.conflist["plugins"]):
            prev = self.results.get(name)
            answer = self.ask("DEL", conf, name, netns_path, prev, capabilities)
            assert (answer.status, answer.printed) == (0, None), answer

    def ask(
        self,
        verb: str,
        conf: Mapping[str, Any],
        name: str,
        netns_path: Path | None,
        prev: Mapping[str, Any] | None,
        capabilities: Mapping[str, Any],
    ) -> Answer:
        """One plugin of the list."""
        version = self.conflist["cniVersion"]
        request = {**conf, "name": self.conflist["name"], "cniVersion": version}
        wanted = {
            key: capabilities[key] for key in conf.get("capabilities", {}).keys() & capabilities
        }
        if wanted:
            request["runtimeConfig"] = wanted
        if prev is not None and (verb != "DEL" or version not in ("0.3.0", "0.3.1")):
            request["prevResult"] = prev
        environ = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": name,
            "CNI_NETNS": str(netns_path or ""),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": ":".join(map(str, self.path)),
        }
        return self.host.call(conf["type"], environ, json.dumps(request))


@contextmanager
def cni_host(root: Path) -> Iterator[CniHost]:
    """The scratch host below a temporary directory; nothing of it is left."""
    threads = NamespaceThread()
    host = root / "host"
    threads.create(host)
    thread = ThreadPoolExecutor(1, "host", initializer=netns.enter, initargs=(host,))
    install.install(root / "bin")
    environ = {
        "PATH": os.environ["PATH"],
        "HOSTLER_CNI_SOCKET": "",
        "HOSTLER_CNI_STATE": str(root / "state"),
    }
    built = CniHost(root, host, threads, thread, root / "bin", environ)
    built.run("ip", "link", "set", "lo", "up")
    try:
        yield built
    finally:
        thread.shutdown()
        threads.stop()
        for path in [*(root / "netns").glob("*"), host]:
            netns.remove(path)


@contextmanager
def own_mounts(host: CniHost, *places: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the scratch host's network to whose mounts the places are new and empty.

    Others enter its namespaces by its process id. It ends when this is left.
    """
    mounts = "; ".join(f"mkdir -p {at}; mount -t tmpfs none {at}" for at in places)
    script = f"set -e; {mounts}; echo ready; read end || true"
    command = ["nsenter", f"--net={host.host}", "unshare", "--mount", "sh", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield holder


def remove_cgroup(name: str) -> None:
    """Remove a top-level cgroup with what is below, when the last processes in it have ended."""
    root = Path("/sys/fs/cgroup")
    for cgroup in (*root.glob(name), *root.glob(f"*/{name}")):
        below = filter(Path.is_dir, cgroup.rglob("*"))
        for folder in sorted((cgroup, *below), reverse=True):
            with suppress(FileNotFoundError):  # whoever made it may remove it just now
                _until_empty(folder)
                folder.rmdir()


def _until_empty(cgroup: Path) -> None:
    """The processes in it have ended, and those that they started meanwhile."""
    while pids := (cgroup / "cgroup.procs").read_text().split():
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(pid)).wait(30)


def _server(port: int) -> socket.socket:
    listener = socket.create_server(("0.0.0.0", port))
    listener.settimeout(DEADLINE_S)
    return listener
