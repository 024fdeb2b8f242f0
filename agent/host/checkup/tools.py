"""The programs that tasks need on this host, and versions of them that are known as broken."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.config import ConfigError
from agent.host.checkup.outcomes import Fact, Finding, Outcome, warning
from agent.host.checkup.programs import NotRun
from agent.host.checkup.subject import Subject
from agent.host.containers import facts
from agent.host.containers.runtimes import Runtime, load_runtimes
from agent.registry import hello

CHECK = "programs"

Version = tuple[int, ...]
Which = Callable[[str], str | None]

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Broken:
    """Versions of a program, ``first`` to ``last``, that don't do; ``why`` is for people."""

    program: str
    first: Version
    last: Version
    why: str


BROKEN = (
    Broken("runc", (0,), (1, 0, 0), "it is older than what is tried with Hostler"),
    # https://github.com/containers/crun/issues/1338
    Broken("crun", (1, 11, 1), (1, 11, 1), "some containers don't start with it"),
    # https://github.com/containers/crun/issues/1400
    Broken("crun", (1, 14, 0), (1, 14, 0), "older kernels refuse its rules for devices"),
    # https://github.com/containers/crun/issues/1588
    Broken("crun", (1, 18, 0), (1, 18, 0), "containerd can't start containers with it"),
)
"""By upstream's numbers, and for what upstream's next release mended."""


def check(subject: Subject, which: Which = shutil.which) -> Iterator[Outcome]:
    """Raises OSError."""
    yield from _nft(subject, which)
    yield from _runtimes(subject, which)
    yield from _extras(subject, which)
    yield from _iptables(subject, which)


def _nft(subject: Subject, which: Which) -> Iterator[Outcome]:
    if which("nft") is None:
        what = "there is no program nft, so no network can be made"
        yield Finding(CHECK, what, "install the package nftables")
        return
    text, version = _version(subject, "nft")
    if version is None:
        what = f"nft does not tell its version: {text}"
        yield Finding(CHECK, what, "install the package nftables again")
    else:
        yield Fact(CHECK, f"nft {_shown(version)}")


def _iptables(subject: Subject, which: Which) -> Iterator[Outcome]:
    """Tables of the old kind that nobody can look into may drop what containers send."""
    loaded = [
        name
        for name, tables in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names"))
        if "filter" in subject.words(f"/proc/net/{tables}")
    ]
    for name in loaded:
        if which(f"{name}-legacy") is None and which(name) is None:
            what = f"{name} of the old kind has rules, and there is no program to look at them"
            cure = "install the package iptables: the agent then has them let containers pass"
            yield warning(CHECK, f"{what}: they may drop packets of containers", cure)
        else:
            yield Fact(CHECK, f"{name} of the old kind has tables beside those of nftables")
    text, version = _version(subject, "iptables") if which("iptables") else ("there is none", None)
    yield Fact(CHECK, text if version else f"iptables: {text}")


def _runtimes(subject: Subject, which: Which) -> Iterator[Outcome]:
    try:
        runtimes = load_runtimes(subject.settings)
    except ConfigError as error:
        yield Finding("runtimes", str(error), "correct it: the agent does not start so")
        return
    for runtime in runtimes.named.values():
        missing = list(runtime.missing())
        for each in missing:
            what = f"runtime {runtime.name} needs {each}, which this host does not have"
            yield Finding("runtimes", what, "install it, or correct HOSTLER_RUNTIMES")
        if not missing and not runtime.isolated:
            yield _judged(subject, runtime)


def _judged(subject: Subject, runtime: Runtime) -> Outcome:
    """The runtime's program by its version."""
    text, version = _version(subject, runtime.program)
    if version is None:
        what = f"{runtime.program} does not tell its version: {text}"
        return warning("runtimes", what, f"see whether '{runtime.program} --version' works")
    name = text.split()[0]
    for each in BROKEN:
        if each.program == name and each.first <= version <= each.last:
            what = f"{name} {_shown(version)} ({runtime.program}): {each.why}"
            return warning("runtimes", what, f"install another version of {name}")
    return Fact("runtimes", f"{runtime.name} is {name} {_shown(version)}")


def _extras(subject: Subject, which: Which) -> Iterator[Outcome]:
    if facts.init_program() is None:
        what = "there is no catatonit: tasks with initProcessEnabled or pidMode task don't start"
        yield warning(CHECK, what, "install the package catatonit")
    else:
        yield Fact(CHECK, f"catatonit is {facts.init_program()}")
    try:
        yield Fact(CHECK, f"the image hostler/hello is made of {hello.find_busybox()}")
    except hello.HelloError as error:
        yield Fact(CHECK, f"the image hostler/hello can't be made: {error}")
    if subject.settings.efs_servers and which("mount.nfs") is None:
        what = "there is no mount.nfs, which the volumes of HOSTLER_EFS_SERVERS need"
        yield Finding(CHECK, what, "install the package nfs-common (nfs-utils)")


def _version(subject: Subject, program: str) -> tuple[str, Version | None]:
    """The first line of what the program says of itself, or why it can't; and the number in it."""
    try:
        ran = subject.run(program, "--version")
    except NotRun as error:
        return str(error), None
    text = (ran.out.strip() or ran.err.strip() or f"exit code {ran.code}").splitlines()[0]
    found = _VERSION.search(text) if ran.code == 0 else None
    return text, tuple(int(each or 0) for each in found.groups()) if found else None


def _shown(version: Version) -> str:
    return ".".join(map(str, version))
