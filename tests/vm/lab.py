"""Two machines, wired to each other, and what their jobs tell: all that the tests here judge.

There is one boot for each, and one more for the machine whose power is cut. Times are for a host
with other work to do; what they tell comes much sooner.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Final

from tests.machines.initrd import initrd
from tests.machines.kernel import Kernel
from tests.machines.qemu import Hardware, Machine, Nic, machine
from tests.vm.guest import nics
from tests.vm.wires import ENDS, MACHINES, SPARE

JOB_S: Final = 1800.0
"""Of a machine, from boot to power off."""
COPY_S: Final = 60.0

TESTS: Final = Path(__file__).parents[1]
_NOT_FOR_MACHINES = shutil.ignore_patterns("__pycache__", "unit", "judges", "badinput")
_OF_PYTEST = (
    *("pytest", "pluggy", "iniconfig", "packaging", "pytest-asyncio", "pytest-timeout"),
    *("hypothesis", "sortedcontainers", "pygments"),
)
PYTHON: Final = "/opt/hostler/bin/python"


class Job:
    """One boot of a machine: its share, and what it told there."""

    def __init__(self, top: Path, name: str, role: str = "") -> None:
        self.name = name
        self.role = role or name
        self.share = top / self.role
        self.trouble = ""
        """Why the job was ended from outside, or that it has not begun."""
        self.times = ""

    def prepare(self) -> None:
        """All that the machine needs is in its share."""
        self.share.mkdir()
        (self.share / "enis.json").write_text(json.dumps(nics.pool(self.name)))
        shutil.copytree(TESTS, self.share / "tests", ignore=_NOT_FOR_MACHINES)
        shutil.copy(TESTS.parent / "pyproject.toml", self.share)
        _copy_pytest(self.share / "site")
        (self.share / "job").write_text(
            "export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PWD/site\n"
            f"{PYTHON} -m tests.vm.guest.main {self.role}\n"
        )

    def facts(self, check: str) -> dict[str, Any]:
        """What the machine found out in this check. Raises AssertionError if it could not."""
        file = self.share / check
        assert file.exists(), f"{self.role} has told no {check}: {self.trouble or 'it has ended'}"
        told: dict[str, Any] = json.loads(file.read_text())
        assert "error" not in told, told["error"]
        return told

    def said(self) -> str:
        """All that is known of it, for whoever must find out what went wrong."""
        found = [f"{self.role} ({self.share}): {self.trouble} {self.times}"]
        for each in ("output", "qemu", "console", "journal"):
            file = self.share / each
            lines = file.read_text(errors="replace").splitlines() if file.exists() else []
            found += [f"---- {each} of {self.role}", *lines[-150:]]
        return "\n".join(found)


@dataclass(frozen=True, slots=True)
class Lab:
    """The three jobs, done."""

    alpha: Job
    beta: Job
    again: Job


def _copy_pytest(to: Path) -> None:
    """What some of the system tests need to run in a machine; the rest is Hostler's."""
    for name in _OF_PYTEST:
        files = distribution(name).files or []
        for each in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            source = Path(str(distribution(name).locate_file(each)))
            if source.is_dir():
                shutil.copytree(source, to / each)
            else:
                to.mkdir(exist_ok=True)
                shutil.copy2(source, to)


def run(top: Path, kernel: Kernel, disk: Path) -> Lab:
    """Both machines have done their jobs; ``top`` is a directory for what they tell."""
    lab = Lab(Job(top, "alpha"), Job(top, "beta"), Job(top, "beta", "beta-again"))
    first, own = initrd(kernel), top / "beta.ext4"
    subprocess.run(["cp", "--sparse=always", disk, own], check=True, timeout=COPY_S)
    common = Hardware(kernel, first, disk, lab.alpha.share, _nics(top, "alpha"))
    with _job(lab.alpha, common) as alpha:
        of_beta = replace(common, disk=own, lasting=True, share=lab.beta.share)
        with _job(lab.beta, replace(of_beta, nics=_nics(top, "beta"))) as beta:
            alpha.until_told("faults", JOB_S)
            (lab.beta.share / "crash").touch()
            beta.until_told("cut", JOB_S)
            beta.cut_power()
        again = replace(of_beta, share=lab.again.share, nics=_nics(top, "beta", "again"))
        lab.again.prepare()
        shutil.copy(lab.beta.share / "accepted", lab.again.share)
        with _job(lab.again, again) as beta:
            beta.until_off(JOB_S)
        alpha.until_off(JOB_S)
    return lab


@contextmanager
def _job(of: Job, hardware: Hardware) -> Iterator[Machine]:
    """The machine that does it. What goes wrong with a machine is noted, and the others go on."""
    if not of.share.exists():
        of.prepare()
    with machine(hardware) as started:
        try:
            yield started
        except (TimeoutError, ProcessLookupError) as error:
            of.trouble = str(error)
        finally:
            started.cut_power()
            of.times = f"{started.wall_s:.0f} s, {started.cpu_s:.0f} s of processors"


def _nics(top: Path, name: str, elsewhere: str = "") -> tuple[Nic, ...]:
    """A card on each wire, and a spare; ``elsewhere``: on wires that nobody else is at."""
    cards = {each.wire: each.mac(name) for each in ENDS}
    listens = name == MACHINES[0] or bool(elsewhere)
    wired = [Nic(mac, top / f"{elsewhere}wire{number}", listens) for number, mac in cards.items()]
    return (*wired, Nic(SPARE, top / f"{elsewhere}{name}spare", listens=True))
