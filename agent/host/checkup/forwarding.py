"""Settings of the kernel without which packets don't pass this host.

The agent sets them with the first task of a network; what sets them back are files of sysctl.d(5)
and programs that read those anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.subject import Subject

CHECK = "forwarding"

_FILES = ("/etc/sysctl.conf", "/etc/sysctl.d", "/run/sysctl.d", "/usr/lib/sysctl.d")
_STRICT = 1
_DEFAULT = "00000000"


def check(subject: Subject) -> Iterator[Outcome]:
    """Raises OSError."""
    if subject.path(f"/proc/sys/net/ipv4/conf/{subject.settings.bridge}").exists():
        yield from _forwards(subject, "net.ipv4.ip_forward")
        if subject.settings.bridge_subnet6 is not None:
            yield from _forwards(subject, "net.ipv6.conf.all.forwarding")
    else:
        yield Fact(CHECK, f"no task has needed {subject.settings.bridge} so far")
    yield from _reverse_path(subject)


def _forwards(subject: Subject, name: str) -> Iterator[Outcome]:
    if subject.number(_file(name)) != 0:
        yield Fact(CHECK, f"{name} is on")
        return
    culprits = " and ".join(_setting_to_zero(subject, name))
    cure = f"run 'sysctl -w {name}=1'"
    if culprits:
        cure += f", and correct {culprits}, which says 0"
    what = f"{name} is 0: containers on {subject.settings.bridge} reach nothing beyond this host"
    yield Finding(CHECK, what, cure)


def _setting_to_zero(subject: Subject, name: str) -> Iterator[str]:
    for each in _FILES:
        place = subject.path(each)
        files = sorted(place.glob("*.conf")) if place.is_dir() else [place]
        for file in files:
            if file.is_file() and _says_zero(file, name):
                yield f"/{file.relative_to(subject.root)}"


def _says_zero(file: Path, name: str) -> bool:
    pairs = (line.partition("=") for line in file.read_text(errors="replace").splitlines())
    return any(
        key.strip().lstrip("-").replace("/", ".") == name and value.strip() == "0"
        for key, _, value in pairs
    )


def _reverse_path(subject: Subject) -> Iterator[Outcome]:
    """Strict, it drops what comes in where the answer would not leave: with two ways out, much."""
    ways = _ways_out(subject)
    everywhere = subject.number(_file("net.ipv4.conf.all.rp_filter")) or 0
    strict = [
        each
        for each in ways
        if max(everywhere, subject.number(f"/proc/sys/net/ipv4/conf/{each}/rp_filter") or 0)
        == _STRICT
    ]
    if len(ways) > 1 and strict:
        yield warning(
            CHECK,
            f"there are default routes through {', '.join(ways)}, and rp_filter is strict on "
            f"{', '.join(strict)}: what comes for published ports may be dropped there",
            "run 'sysctl -w net.ipv4.conf.all.rp_filter=2' and keep that in /etc/sysctl.d",
        )
    elif ways:
        yield Fact(CHECK, f"default routes: {', '.join(ways)}")


def _ways_out(subject: Subject) -> list[str]:
    """Interfaces with a default route (/proc/net/route, proc(5))."""
    rows = [line.split() for line in (subject.text("/proc/net/route") or "").splitlines()[1:]]
    return sorted({row[0] for row in rows if row[1] == row[7] == _DEFAULT})


def _file(name: str) -> str:
    return f"/proc/sys/{name.replace('.', '/')}"
