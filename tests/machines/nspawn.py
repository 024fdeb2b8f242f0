"""Machines with systemd as their first process, in a container that systemd-nspawn boots.

Each has a network of its own and, in every hierarchy, a cgroup of its own. Its files are this
host's (``machine``), or those of a tree that a test has made (``copy_of`` and ``booted``).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.machines.owncgroup import cgroups
from tests.machines.owncgroup import unified as host_unified

ROOT = Path(__file__).parents[2]
BOOT_S, COMMAND_S, OFF_S = 60.0, 60.0, 40.0
HALT = signal.SIGRTMIN + 4
"""systemd(1): powers the machine off."""

_JOINING = 'for each in $0; do echo $$ >"$each/cgroup.procs"; done; exec "$@"'
_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
_SPACES = ("-m", "-p", "-n", "-u", "-i", "-C")
# nspawn mounts the hierarchies of cgroup v1 read-only.
_WRITABLE = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=sh -c 'for each in /sys/fs/cgroup /sys/fs/cgroup/*/; do \
mount -o remount,bind,rw $$each; done; true'
"""

needed = pytest.mark.skipif(
    shutil.which("systemd-nspawn") is None or not Path("/lib/systemd/systemd").exists(),
    reason="needs systemd and systemd-nspawn (Debian: systemd-container)",
)


def systemd_version() -> int:
    """Of this host, and so of the machine; 0 if there is none."""
    if shutil.which("systemctl") is None:
        return 0
    command = ["systemctl", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S).stdout
    return int(re.split(r"[\s(~.-]+", said)[1])


class Machine:
    """A machine that has booted, by its systemd's process id on this host."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.root = Path(f"/proc/{leader}/root")

    def run(self, *command: str, deadline_s: float = COMMAND_S) -> str:
        """What a command prints that runs in the machine, where it must succeed."""
        ran = self.tried(*command, deadline_s=deadline_s)
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr, self.journal())
        return ran.stdout

    def tried(
        self, *command: str, deadline_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """A command that has ended in the machine."""
        entered = ["nsenter", "-t", str(self.leader), *_SPACES, *command]
        return subprocess.run(
            entered, capture_output=True, text=True, timeout=deadline_s, env=_ENVIRONMENT
        )

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def pid_in(self, namespace: Path) -> int:
        """The first process, by its id on this host, of those in a network namespace."""
        for each in psutil.Process(self.leader).children(recursive=True):
            # It may end meanwhile; the kernel then forbids the look, if it has begun.
            with suppress(FileNotFoundError, PermissionError):
                if namespace.samefile(f"/proc/{each.pid}/ns/net"):
                    return each.pid
        raise AssertionError(f"nobody is in {namespace}")

    def journal(self) -> str:
        """The last lines, of all units."""
        command = ["journalctl", "--no-pager", "-n", "60", "-D", f"{self.root}/var/log/journal"]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S).stdout


@contextmanager
def machine(
    units: Mapping[str, str], wanted: str, *, unified: bool | None = None
) -> Iterator[Machine]:
    """A machine of this host's files in which the unit ``wanted`` is active.

    ``units`` are files by their names. ``unified``: with cgroups of version 2, as far as this
    host's kernel has lent them to nobody; by default it has what the host has. Nothing is left.
    """
    ours = (
        # An overlay can't be on top of another.
        *("--tmpfs=/var/lib/hostler", "--tmpfs=/var/lib/hostler-containerd"),
        *(f"--bind-ro={each}" for each in {str(ROOT), sys.prefix, sys.base_prefix}),
    )
    with _in_memory() as top, _overlaid(top) as root:
        for file, text in units.items():
            path = root / "etc/systemd/system" / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        prepare(root)
        with booted(root, wanted, ours, unified=unified) as started:
            yield started


@contextmanager
def copy_of(tree: Path) -> Iterator[Path]:
    """The files of a machine that was never on; they are in memory, and gone in the end."""
    with _in_memory() as top:
        root = top / "root"
        command = ["cp", "--archive", str(tree), str(root)]
        subprocess.run(command, check=True, timeout=BOOT_S)
        prepare(root)
        yield root


def prepare(root: Path) -> None:
    """What is to be the files of one machine."""
    (root / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
    units = root / "etc/systemd/system"
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "writable-cgroups.service").write_text(_WRITABLE)
    wanted = units / "sysinit.target.wants/writable-cgroups.service"
    wanted.symlink_to("../writable-cgroups.service")


@contextmanager
def booted(
    root: Path,
    wanted: str = "multi-user.target",
    options: Sequence[str] = (),
    *,
    unified: bool | None = None,
) -> Iterator[Machine]:
    """A machine with these files, prepared, which may be booted again once it is off.

    ``options`` are systemd-nspawn's; for the rest see ``machine``.
    """
    unified = host_unified() if unified is None else unified
    name = f"ht{secrets.token_hex(3)}"
    with cgroups(name) as own:
        spawned = subprocess.Popen(
            ["sh", "-c", _JOINING, " ".join(map(str, own)), *_nspawn(name, root, options, wanted)],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": str(int(unified))},
        )
        try:
            started = Machine(_leader(spawned))
            _until_active(started, wanted)
            yield started
        finally:
            _off(spawned)
            for each in Path("/run/systemd/nspawn").glob(f"*/{name}"):
                each.rmdir()


def _nspawn(name: str, root: Path, options: Sequence[str], wanted: str) -> list[str]:
    return [
        *("systemd-nspawn", "--quiet", "--boot", "-D", str(root), f"--machine={name}"),
        *("--register=no", "--keep-unit", "--console=pipe", "--link-journal=no"),
        # Container runtimes need all of these.
        *("--capability=all", "--system-call-filter=@keyring bpf", "--private-network"),
        *options,
        *("--", f"--unit={wanted}"),
    ]


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A directory whose files are in memory."""
    top = Path(tempfile.mkdtemp(prefix="ht-"))
    try:
        with _mounted("tmpfs", top, "size=1g"):
            yield top
    finally:
        top.rmdir()


@contextmanager
def _overlaid(top: Path) -> Iterator[Path]:
    """This host's files; what is changed is below ``top``."""
    upper, work, merged = (top / each for each in ("upper", "work", "merged"))
    for each in (upper, work, merged):
        each.mkdir()
    with _mounted("overlay", merged, f"lowerdir=/,upperdir={upper},workdir={work}"):
        yield merged


@contextmanager
def _mounted(kind: str, at: Path, options: str) -> Iterator[None]:
    command = ["mount", "-t", kind, "-o", options, kind, str(at)]
    subprocess.run(command, check=True, timeout=COMMAND_S)
    try:
        yield
    finally:
        subprocess.run(["umount", at], check=False, timeout=COMMAND_S)


def _leader(spawned: subprocess.Popen[bytes]) -> int:
    """systemd's process id: nspawn has other children before that."""
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline and spawned.poll() is None:
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(spawned.pid).children():
                if each.name() == "systemd":
                    return each.pid
    raise AssertionError("systemd-nspawn does not start systemd")


def _until_active(started: Machine, wanted: str) -> None:
    deadline = time.monotonic() + BOOT_S
    state = ""
    while time.monotonic() < deadline:
        if (started.root / "run/systemd/private").exists():
            state = started.shown(wanted, "ActiveState")
            if state in ("active", "failed"):
                break
        time.sleep(0.05)  # noqa: TID251 - nobody outside is told
    assert state == "active", started.journal()


def _off(spawned: subprocess.Popen[bytes]) -> None:
    """It and all its processes have ended."""
    children = psutil.Process(spawned.pid).children() if spawned.poll() is None else []
    for each in children:
        with suppress(psutil.NoSuchProcess):
            if each.name() == "systemd":
                each.send_signal(HALT)
    try:
        spawned.wait(OFF_S)
    except subprocess.TimeoutExpired:
        for each in children:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        spawned.kill()
        spawned.wait(OFF_S)
