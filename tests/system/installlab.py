"""A machine that had nothing of Hostler until it was installed from its package."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.machines import image, nspawn
from tests.machines.nspawn import ROOT, Machine
from tests.system.servicelab import NAMES, end, id_of, run, shown, until
from tests.system.tasks import Json, eventually

INSTALL_S = 240.0
SETTLED_S = 20.0

# What programs of the distribution keep for themselves, and the package manager's own records.
_KEPT_BY_OTHERS = (
    *("/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-", "/etc/.pwd.lock"),
    *("/var/cache", "/var/lib/apt", "/var/lib/containerd", "/var/lib/dpkg", "/var/lib/systemd"),
    *("/var/log", "/var/tmp"),
)


class Host:
    """The machine, on and off; ``machine`` while it is on."""

    machine: Machine

    def __init__(self, root: Path) -> None:
        self.root = root
        self._on = ExitStack()
        shutil.copy(ROOT / "vagrant/provision.sh", root / "srv")
        shutil.copytree(ROOT / "examples", root / "srv/examples")
        (root / "opt/another").mkdir()  # dpkg would take an empty /opt with the package

    def switch_on(self) -> None:
        """All its services have started."""
        self.machine = self._on.enter_context(nspawn.booted(self.root))

    def switch_off(self) -> None:
        """It has gone down in good order."""
        self._on.close()

    def takes(self, package: Path) -> str:
        """The package is among its files; this is where."""
        shutil.copy(package, self.root / "srv")
        return f"/srv/{package.name}"

    def provision(self, package: str, **settings: str) -> str:
        """What the lab's script says while it installs the package."""
        given = [f"{name}={value}" for name, value in settings.items()]
        command = ["env", *given, "sh", "/srv/provision.sh", package]
        return self.machine.run(*command, deadline_s=INSTALL_S)


@contextmanager
def host() -> Iterator[Host]:
    """A machine that is on, with nothing installed; its journal is told with what went wrong."""
    with nspawn.copy_of(image.tree()) as root:
        made = Host(root)
        made.switch_on()
        try:
            yield made
        finally:
            made.switch_off()


@dataclass(frozen=True)
class Service:
    """A task of one container, with a web page on a port of the machine's."""

    host: Host
    arn: str
    port: int

    @property
    def namespace(self) -> Path:
        """Its network namespace, as this host sees it."""
        inside = NAMES.netns(id_of({"taskArn": self.arn}), "web")
        return self.host.machine.root / inside.relative_to("/")

    def processes(self) -> list[psutil.Process]:
        """What runs in it; equal only if they are the same processes.

        Its server has a child for each request, for a moment: those are not among them.
        """
        first = psutil.Process(self.host.machine.pid_in(self.namespace))
        return [first, *first.children()]

    def answers(self) -> bool:
        """Whether its page is there for the machine."""
        url = f"http://127.0.0.1:{self.port}/"
        asked = self.host.machine.tried("curl", "-fsS", "--max-time", "15", url)
        return "Hello from Hostler" in asked.stdout

    def shown(self) -> Json:
        """The task as DescribeTasks shows it."""
        return shown(self.host.machine, {"taskArn": self.arn})

    def until_stopped(self) -> Json:
        """The same, once it has stopped."""
        return until(self.host.machine, {"taskArn": self.arn}, "STOPPED")

    def stop(self) -> None:
        """Nothing is left of it."""
        end(self.host.machine, {"taskArn": self.arn})


def serve(host: Host, port: int) -> Service:
    """Such a task in bridge mode, that runs and answers."""
    container = {
        "name": "web",
        "image": "hostler/hello",
        "memory": 32,
        "command": [
            *("sh", "-c"),
            "trap 'exit 0' TERM; httpd -f -p 80 -h /var/www & wait",
        ],
        "portMappings": [{"containerPort": 80, "hostPort": port}],
    }
    task = until(host.machine, run(host.machine, container, networkMode="bridge"), "RUNNING")
    service = Service(host, task["taskArn"], port)
    eventually(service.answers, "a web page")
    return service


def standing(machine: Machine) -> Mapping[str, set[str]]:
    """What is on the machine, by kind: all that an installation, or a task, may leave behind."""
    lists = {
        "link": "ip -brief link | cut -d' ' -f1",
        "nft": "nft list ruleset",
        "mount": "cut -d' ' -f5 /proc/self/mountinfo",
        "cgroup": "find /sys/fs/cgroup -type d",
        "run": "find /run -path /run/systemd -prune -o -path /run/containerd -prune -o -print",
        "user": "cat /etc/passwd /etc/group",
        "unit": "systemctl list-unit-files --no-legend --no-pager",
        "namespace": "ctr namespaces list --quiet",
        "file": "find / -xdev "
        + " ".join(f"-path {each} -prune -o" for each in _KEPT_BY_OTHERS)
        # a directory that was written to in between is the same
        + r" \( -type d -printf '%p %m %u %g\n' -o -printf '%p %m %u %g %s\n' \)",
    }
    return {kind: set(machine.run("sh", "-c", each).splitlines()) for kind, each in lists.items()}


def changes(before: Mapping[str, set[str]], machine: Machine, *kinds: str) -> list[str]:
    """What is on the machine of these kinds and was not, and the other way round.

    As soon as that is nothing, or when it has had time to go: the kernel takes interfaces down some
    time after their namespace, and systemd has jobs of its own.
    """
    end = time.monotonic() + SETTLED_S
    while found := _changes(before, machine, *kinds):
        if time.monotonic() > end:
            break
        time.sleep(0.2)  # noqa: TID251 - there is no event for all of these
    return found


def _changes(before: Mapping[str, set[str]], machine: Machine, *kinds: str) -> list[str]:
    now = standing(machine)
    return [
        f"{kind} {how} {each}"
        for kind in kinds
        for how, those in (
            ("added", now[kind] - before[kind]),
            ("gone", before[kind] - now[kind]),
        )
        for each in sorted(those)
    ]
