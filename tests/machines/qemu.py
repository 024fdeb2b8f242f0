"""Virtual machines under emulation: their wires, their clocks, and how they end.

No processor of this host is lent to them (a device for that may be there and hang), so they run on
any host, some twenty times slower than it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.machines.disk import TAG
from tests.machines.kernel import Kernel

PROGRAM: Final = "qemu-system-x86_64"

NICENESS: Final = 10
OFF_S: Final = 20.0

_ARGUMENTS = (
    "console=ttyS0 quiet mitigations=off nokaslr audit=0 panic=-1 root=/dev/vda rw "
    "systemd.show_status=no"
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card, with its end of a wire: one end ``listens``, and its machine starts first."""

    mac: str
    wire: Path
    listens: bool


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine is made of. ``share`` is a directory that it sees, writes to and all.

    With ``lasting`` what it writes to the disk stays, and what it has synced is on the disk at
    once; without, the file is as it was, and several machines may have the same.
    """

    kernel: Kernel
    initrd: Path
    disk: Path
    share: Path
    nics: Sequence[Nic] = ()
    lasting: bool = False
    memory_mib: int = 1024


class Machine:
    """A machine that has been switched on."""

    def __init__(self, share: Path, process: subprocess.Popen[bytes]) -> None:
        self.share = share
        self._process = process
        self._since = time.monotonic()
        self.wall_s = 0.0
        self.cpu_s = 0.0
        """User and system time of all of it, once it has ended."""

    @property
    def running(self) -> bool:
        """Whether it is on. Once it is not, its times are known."""
        if self._process.returncode is None and _has_ended(self._process.pid):
            self.wall_s = time.monotonic() - self._since
            self.cpu_s = _cpu_s(self._process.pid)
            self._process.wait()
        return self._process.returncode is None

    def until_off(self, deadline_s: float) -> None:
        """It has powered itself off. Raises TimeoutError."""
        end = time.monotonic() + deadline_s
        while self.running:
            if time.monotonic() > end:
                raise TimeoutError(f"the machine is still on after {deadline_s:g} s")
            time.sleep(0.1)  # noqa: TID251 - several machines are watched, each with a deadline

    def until_told(self, name: str, deadline_s: float) -> Path:
        """The file of this name that the machine has made in its share, complete.

        Raises TimeoutError, ProcessLookupError if the machine ended without.
        """
        end, file = time.monotonic() + deadline_s, self.share / name
        while not file.exists():
            if not self.running:
                raise ProcessLookupError(f"the machine has ended and told no {name}")
            if time.monotonic() > end:
                raise TimeoutError(f"the machine has told no {name} in {deadline_s:g} s")
            time.sleep(0.02)  # noqa: TID251 - the kernel tells nobody of what comes over 9p
        return file

    def cut_power(self) -> None:
        """It is off at once, whatever it was doing."""
        if self.running:
            self._process.kill()
            self.until_off(OFF_S)


@contextmanager
def machine(of: Hardware) -> Iterator[Machine]:
    """A machine, switched on; it is off in the end, if need be by a power cut."""
    with (of.share / "qemu").open("ab") as said:
        process = subprocess.Popen(
            _command(of), stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=of.share
        )
    started = Machine(of.share, process)
    try:
        yield started
    finally:
        started.cut_power()


def _command(of: Hardware) -> list[str]:
    return [
        *("nice", "-n", str(NICENESS), PROGRAM),
        *("-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2"),
        *("-m", str(of.memory_mib), "-machine", "q35", "-nodefaults", "-display", "none"),
        *("-no-reboot", "-kernel", str(of.kernel.image), "-initrd", str(of.initrd)),
        *("-append", _ARGUMENTS),
        *("-chardev", f"file,id=console,path={of.share / 'console'},append=on"),
        *("-serial", "chardev:console", "-device", "virtio-rng-pci"),
        *("-drive", f"file={of.disk},if=none,id=disk,format=raw,{_caching(of)}"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-fsdev", f"local,id=share,path={of.share},security_model=none"),
        *("-device", f"virtio-9p-pci,fsdev=share,mount_tag={TAG}"),
        *(word for number, each in enumerate(of.nics) for word in _nic(number, each)),
    ]


def _caching(of: Hardware) -> str:
    return "cache=writethrough" if of.lasting else "snapshot=on,cache=unsafe"


def _nic(number: int, nic: Nic) -> list[str]:
    ends = "on" if nic.listens else "off"
    return [
        *("-netdev", f"stream,id=wire{number},server={ends},addr.type=unix,addr.path={nic.wire}"),
        *("-device", f"virtio-net-pci,netdev=wire{number},mac={nic.mac}"),
    ]


def _has_ended(pid: int) -> bool:
    """Whether the child has ended; it stays a zombie."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _cpu_s(pid: int) -> float:
    """User and system time of a process that has ended (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
