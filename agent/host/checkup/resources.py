"""What the kernel has only so many of, for all programs together: memory, files, processes."""

from __future__ import annotations

from collections.abc import Iterator

from agent.host.checkup.outcomes import Fact, Outcome, warning
from agent.host.checkup.subject import Subject

CHECK = "resources"

_NEARLY = 0.9
_LITTLE_MEMORY = 0.05
_FILES = 12 * 1024
"""A dozen of the agent's for each of a thousand containers."""

_NETFILTER = "/proc/sys/net/netfilter"
_LIMIT = "Max open files"


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    yield from _memory(subject)
    yield from _open_files(subject)
    yield from _processes(subject)
    yield from _connections(subject)


def check_process(subject: Subject) -> Iterator[Outcome]:
    """What the calling process may have: for the agent itself. Raises OSError."""
    lines = (subject.text("/proc/self/limits") or "").splitlines()
    hard = next((line.split()[-2] for line in lines if line.startswith(_LIMIT)), "unlimited")
    if hard.isdigit() and int(hard) < _FILES:
        what = f"the agent may open {hard} files, enough for some {int(hard) // 12} containers"
        cure = "set LimitNOFILE=1048576 in its unit ('systemctl edit hostler') and restart it"
        yield warning(CHECK, what, cure)
    else:
        yield Fact(CHECK, f"the agent may open {hard} files")


def _memory(subject: Subject) -> Iterator[Outcome]:
    pairs = (line.partition(":") for line in (subject.text("/proc/meminfo") or "").splitlines())
    sizes = {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split()}
    total, free = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
    if not total:
        return
    what = f"{free // 1024} of {total // 1024} MiB of memory are available"
    if free < total * _LITTLE_MEMORY:
        cure = "stop tasks or give them limits; set ECS_RESERVED_MEMORY to what the rest needs"
        yield warning(CHECK, f"{what}: the kernel will soon kill something", cure)
    else:
        yield Fact(CHECK, what)


def _open_files(subject: Subject) -> Iterator[Outcome]:
    words = subject.words("/proc/sys/fs/file-nr")
    if len(words) == 3:
        cure = "raise fs.file-max with sysctl; 'lsof -n | wc -l' and 'ls /proc/*/fd' find users"
        yield _share("open files", int(words[0]), int(words[2]), cure)


def _processes(subject: Subject) -> Iterator[Outcome]:
    """Threads count: the fourth word of /proc/loadavg is running/all (proc(5))."""
    words = subject.words("/proc/loadavg")
    limits = [
        each
        for name in ("pid_max", "threads-max")
        if (each := subject.number(f"/proc/sys/kernel/{name}"))
    ]
    if len(words) > 3 and limits:
        cure = "raise kernel.pid_max and kernel.threads-max; set ECS_TASK_PIDS_LIMIT for tasks"
        yield _share("processes and threads", int(words[3].rpartition("/")[2]), min(limits), cure)


def _connections(subject: Subject) -> Iterator[Outcome]:
    count = subject.number(f"{_NETFILTER}/nf_conntrack_count")
    most = subject.number(f"{_NETFILTER}/nf_conntrack_max")
    if count is not None and most:
        cure = "raise net.netfilter.nf_conntrack_max with sysctl: what is over it is dropped"
        yield _share("tracked connections", count, most, cure)


def _share(of: str, used: int, most: int, cure: str) -> Outcome:
    what = f"{used} of {most} {of} are in use"
    return warning(CHECK, what, cure) if used > most * _NEARLY else Fact(CHECK, what)
