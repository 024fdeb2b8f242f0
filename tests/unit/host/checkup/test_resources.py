"""What the kernel has only so many of."""

from __future__ import annotations

import pytest

from agent.host.checkup import resources
from tests.unit.host.checkup.lab import Host, cure, facts, findings, warnings

FILTER = "/proc/sys/net/netfilter/nf_conntrack_"


@pytest.fixture
def roomy(host: Host) -> Host:
    host.write("/proc/meminfo", "MemTotal: 1024000 kB\nMemFree: 1 kB\nMemAvailable: 512000 kB\n")
    host.write("/proc/sys/fs/file-nr", "1000\t0\t100000\n")
    host.write("/proc/loadavg", "0.1 0.1 0.1 1/400 77\n")
    host.write("/proc/sys/kernel/pid_max", "32768\n")
    host.write("/proc/sys/kernel/threads-max", "1000\n")
    host.write(f"{FILTER}count", "10\n")
    host.write(f"{FILTER}max", "1000\n")
    return host


def test_enough_of_everything(roomy: Host) -> None:
    outcomes = list(resources.check(roomy.subject))
    assert findings(outcomes) == []
    assert facts(outcomes) == [
        "500 of 1000 MiB of memory are available",
        "1000 of 100000 open files are in use",
        "400 of 1000 processes and threads are in use",
        "10 of 1000 tracked connections are in use",
    ]


@pytest.mark.parametrize(
    ("file", "text", "said", "mend"),
    [
        (
            "/proc/meminfo",
            "MemTotal: 1024000 kB\nMemAvailable: 51000 kB\n",
            "49 of 1000 MiB of memory are available: the kernel will soon kill something",
            "ECS_RESERVED_MEMORY",
        ),
        (
            "/proc/sys/fs/file-nr",
            "90001 0 100000",
            "90001 of 100000 open files are in use",
            "fs.file-max",
        ),
        (
            "/proc/loadavg",
            "1 1 1 3/950 7",
            "950 of 1000 processes and threads are in use",
            "kernel.pid_max",
        ),
        (
            f"{FILTER}count",
            "990",
            "990 of 1000 tracked connections are in use",
            "nf_conntrack_max",
        ),
    ],
)
def test_what_is_nearly_used_up(roomy: Host, file: str, text: str, said: str, mend: str) -> None:
    roomy.write(file, text)
    outcomes = list(resources.check(roomy.subject))
    assert warnings(outcomes) == [said]
    assert mend in cure(outcomes)


def test_what_the_kernel_does_not_tell_is_no_trouble(host: Host) -> None:
    assert list(resources.check(host.subject)) == []


@pytest.mark.parametrize(
    ("hard", "wrong"), [("1048576", False), ("unlimited", False), ("4096", True)]
)
def test_the_files_that_the_agent_may_open(host: Host, hard: str, wrong: bool) -> None:
    host.write("/proc/self/limits", f"Max open files            1024      {hard}     files\n")
    outcomes = list(resources.check_process(host.subject))
    if wrong:
        assert warnings(outcomes) == [
            "the agent may open 4096 files, enough for some 341 containers"
        ]
    else:
        assert facts(outcomes) == [f"the agent may open {hard} files"]
