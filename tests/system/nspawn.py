"""A machine with systemd as its first process, made of this host's own files, in a container.

systemd-nspawn boots it from an overlay of the root directory whose upper half is in memory, with a
network of its own and, in every hierarchy, a cgroup of its own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.system.agent import ROOT

BOOT_S, COMMAND_S, OFF_S = 60.0, 30.0, 20.0
HALT = signal.SIGRTMIN + 4
"""systemd(1): powers the machine off."""

CGROUPS = Path("/sys/fs/cgroup")
_JOINING = 'for each in $0; do echo $$ >"$each/cgroup.procs"; done; exec "$@"'
_SPACES = ("-m", "-p", "-n", "-u", "-i", "-C")
# nspawn mounts the hierarchies of cgroup v1 read-only.
_WRITABLE = (
    "for each in /sys/fs/cgroup /sys/fs/cgroup/*/; do mount -o remount,bind,rw $$each; done; true"
)

needed = pytest.mark.skipif(
    shutil.which("systemd-nspawn") is None or not Path("/lib/systemd/systemd").exists(),
    reason="needs systemd and systemd-nspawn (Debian: systemd-container)",
)


class Machine:
    """A machine that has booted, by its systemd's process id on this host."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        self.root = Path(f"/proc/{leader}/root")

    def run(self, *command: str) -> str:
        """What a command prints that runs in the machine, where it must succeed."""
        entered = ["nsenter", "-t", str(self.leader), *_SPACES, *command]
        ran = subprocess.run(entered, capture_output=True, text=True, timeout=COMMAND_S)
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr, self._journal())
        return ran.stdout

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def pid_in(self, namespace: Path) -> int:
        """The process, by its id on this host, in a network namespace that has only one."""
        return next(
            each.pid
            for each in psutil.Process(self.leader).children(recursive=True)
            if namespace.samefile(f"/proc/{each.pid}/ns/net")
        )

    def _journal(self) -> str:
        command = ["journalctl", "--no-pager", "-n", "60", "-D", f"{self.root}/var/log/journal"]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S).stdout


@contextmanager
def machine(
    units: Mapping[str, str], wanted: str, *, unified: bool | None = None
) -> Iterator[Machine]:
    """A machine in which the unit ``wanted`` is active; ``units`` are files by their names.

    ``unified``: with cgroups of version 2, as far as this host's kernel has lent them to nobody;
    by default the machine has what the host has. Nothing is left of it.
    """
    unified = _unified() if unified is None else unified
    name = f"ht{secrets.token_hex(3)}"
    with _root(name, units, wanted) as root, _cgroups(name) as own:
        spawned = subprocess.Popen(
            ["sh", "-c", _JOINING, " ".join(map(str, own)), *_nspawn(name, root, wanted)],
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


def _nspawn(name: str, root: Path, wanted: str) -> list[str]:
    return [
        *("systemd-nspawn", "--quiet", "--boot", "-D", str(root), f"--machine={name}"),
        *("--register=no", "--keep-unit", "--console=pipe", "--link-journal=no"),
        # Container runtimes need all of these.
        *("--capability=all", "--system-call-filter=@keyring bpf", "--private-network"),
        "--tmpfs=/var/lib/hostler",  # an overlay can't be on top of another
        *(f"--bind-ro={each}" for each in {str(ROOT), sys.prefix, sys.base_prefix}),
        *("--", f"--unit={wanted}"),
    ]


@contextmanager
def _root(name: str, units: Mapping[str, str], wanted: str) -> Iterator[Path]:
    """This host's files, and the units, of which the one ``wanted`` can write cgroups."""
    top = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    _mount("tmpfs", top, "size=1g")
    try:
        upper, work, merged = (top / each for each in ("upper", "work", "merged"))
        for each in (upper, work, merged):
            each.mkdir()
        _mount("overlay", merged, f"lowerdir=/,upperdir={upper},workdir={work}")
        own = {
            **units,
            f"{wanted}.d/cgroups.conf": f"[Service]\nExecStartPre=sh -c '{_WRITABLE}'\n",
        }
        for file, text in own.items():
            path = merged / "etc/systemd/system" / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        (merged / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
        yield merged
    finally:
        for mounted in (top / "merged", top):
            subprocess.run(["umount", mounted], check=False, timeout=COMMAND_S)
        top.rmdir()


def _mount(kind: str, at: Path, options: str) -> None:
    command = ["mount", "-t", kind, "-o", options, kind, str(at)]
    subprocess.run(command, check=True, timeout=COMMAND_S)


@contextmanager
def _cgroups(name: str) -> Iterator[list[Path]]:
    """A cgroup of that name in every hierarchy."""
    made = [each / name for each in ([CGROUPS] if _unified() else sorted(CGROUPS.iterdir()))]
    try:
        for each in made:
            each.mkdir()
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (each / file).exists() and not _unified():
                    (each / file).write_text((each.parent / file).read_text())
        yield made
    finally:
        for each in made:
            _remove(each)


def _remove(cgroup: Path) -> None:
    """The cgroup and all below it are gone, as soon as their last processes are."""
    deadline = time.monotonic() + OFF_S
    while cgroup.exists():
        for folder, _, _ in os.walk(cgroup, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        assert time.monotonic() < deadline, f"{cgroup} has processes"


def _unified() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


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
    assert state == "active", started._journal()


def _off(spawned: subprocess.Popen[bytes]) -> None:
    """It and all its processes have ended."""
    children = psutil.Process(spawned.pid).children() if spawned.poll() is None else []
    for each in children:
        if each.name() == "systemd":
            os.kill(each.pid, HALT)
    try:
        spawned.wait(OFF_S)
    except subprocess.TimeoutExpired:
        for each in children:
            each.kill()
        spawned.kill()
        spawned.wait(OFF_S)
