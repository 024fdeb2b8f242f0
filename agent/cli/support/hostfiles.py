"""Pieces that files of the host tell: the kernel, cgroups, mounts, the state store, logs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from agent import VERSION
from agent.cli.config import ignored, rows
from agent.cli.support.pieces import File, Missing, Piece, Site, as_json
from agent.engine.schema import MIGRATIONS
from agent.host.cgroups.kernel import Cgroups

_KERNEL = (
    *("/proc/cmdline", "/proc/version", "/etc/os-release", "/proc/uptime", "/proc/loadavg"),
    *("/proc/meminfo", "/proc/modules", "/proc/filesystems", "/proc/cgroups", "/proc/swaps"),
    *("/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io"),
    *("/proc/sys/fs/file-nr", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/tainted"),
    *("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/rp_filter"),
    *("/proc/sys/net/netfilter/nf_conntrack_count", "/proc/sys/net/netfilter/nf_conntrack_max"),
)
_CGROUP_FILES = (
    *("memory.current", "memory.max", "memory.events", "cpu.stat", "cpu.max", "pids.current"),
    *("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control"),
    *("cpu.cfs_quota_us", "cpu.shares"),
)
_MOST_CGROUPS = 2000
_LOG_BYTES = 1024 * 1024
_STORE_S = 5.0
_STEPS = 100_000


def hostler(site: Site) -> Iterator[File]:
    """The versions of Hostler and what it is made of."""
    parts = sorted(f"{each.name} {each.version}" for each in importlib.metadata.distributions())
    head = f"hostler {VERSION}\nPython {sys.version}\n{platform.platform()}\n{sys.prefix}\n"
    yield "versions/hostler.txt", head + "\n".join(parts) + "\n"


def configuration(site: Site) -> Iterator[File]:
    """Every setting as an agent that starts now would have it."""
    if site.loaded is None:
        raise Missing("the configuration can't be used: see doctor.json")
    told = {"settings": rows(site.loaded), "ignored": ignored(site.loaded)}
    yield as_json("config.json", site.masks.mask_all({**told, "warnings": site.loaded.warnings}))


def kernel(site: Site) -> Iterator[File]:
    """The kernel and how it fares."""
    yield "kernel.txt", "\n".join(_shown(site, each) for each in _KERNEL)


def _shown(site: Site, name: str) -> str:
    try:
        text = site.subject.text(name)
    except OSError as error:
        text = f"({error.strerror})"
    return f"# {name}\n{'(not there)' if text is None else text}\n"


def mounts(site: Site) -> Iterator[File]:
    """What is mounted where in the mount namespace of this command."""
    yield "mounts.txt", site.subject.text("/proc/self/mountinfo") or ""


def cgroups(site: Site) -> Iterator[File]:
    """The tasks' cgroups with use and limits."""
    kernel = Cgroups(site.subject.path("/sys/fs/cgroup"))
    parents = {site.settings.cgroup_parent.lstrip("/") or "hostler", "hostler.slice"}
    found = [tree / each for tree in kernel.trees() for each in parents if (tree / each).is_dir()]
    if not found:
        raise Missing("there is no cgroup of tasks")
    lines = [line for each in found for line in _tree(each)]
    yield "cgroups.txt", f"version {kernel.version}\n" + "\n".join(lines) + "\n"


def _tree(top: Path) -> Iterator[str]:
    for folder, names in islice(_folders(top), _MOST_CGROUPS):
        facts = [
            f"{name}: {' '.join(_words(folder / name))}" for name in _CGROUP_FILES if name in names
        ]
        yield f"{folder}\n    " + "\n    ".join(facts)


def _folders(top: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each with the names of what is in it. Containers may nest them deeper than calls can be."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = {each.name: each.is_dir(follow_symlinks=False) for each in found}
        except OSError:  # gone meanwhile, or so deep that its path is too long
            continue
        yield folder, set(entries)
        below = (name for name, is_folder in entries.items() if is_folder)
        waiting += [folder / name for name in sorted(below, reverse=True)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError as error:
        return [f"({error.strerror})"]


def store(site: Site) -> Iterator[File]:
    """The state store from outside: its files, schema, structure and how many rows it has."""
    path = site.subject.path(site.settings.state_dir / "state.db")
    if not site.subject.exists(site.settings.state_dir / "state.db"):
        raise Missing(f"there is no {path}")
    beside = sorted(path.parent.glob("state.*"))
    lines = [f"{each.name} {each.stat().st_size} bytes" for each in beside]
    try:
        lines += _inside(path)
    except sqlite3.Error as error:
        lines.append(f"it can't be read: {error}")
    yield "state.txt", "\n".join(lines) + "\n"


def _inside(path: Path) -> Iterator[str]:
    """Raises sqlite3.Error, also when it takes too long."""
    end = time.monotonic() + _STORE_S
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=1.0)) as db:
        db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        yield f"schema {version}, this Hostler knows {len(MIGRATIONS)}"
        problems = [str(text) for (text,) in db.execute("PRAGMA quick_check(10)")]
        yield f"structure: {'; '.join(problems)}"
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            (count,) = db.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
            yield f"{count} rows in {table}"


def own_containerd(site: Site) -> Iterator[File]:
    """The end of the log of the agent's own containerd."""
    path = site.subject.path(site.settings.state_dir / "containerd" / "containerd.log")
    if not path.exists():
        raise Missing("the agent has no containerd of its own")
    with path.open("rb") as file:
        before = max(-1, path.stat().st_size - _LOG_BYTES - 1)
        file.seek(max(0, before))
        text = file.read(_LOG_BYTES + 1).decode(errors="replace")
        # From the beginning of a line on: half a secret is not known as one.
        yield "journal/own-containerd.log", text if before < 0 else text.partition("\n")[2]


def folders(site: Site) -> Iterator[File]:
    """Names of what is in the agent's own folders, without what tasks have written."""
    settings = site.settings
    tops = (settings.state_dir, settings.run_dir, Path("/etc/hostler"))
    lines = [line for each in tops for line in _listing(site.subject.path(each))]
    yield "folders.txt", "\n".join(lines) + "\n"


def _listing(top: Path) -> Iterable[str]:
    if not top.is_dir():
        return [f"{top}: not there"]
    facts = ((each, each.lstat()) for each in sorted(top.iterdir()))
    return [f"{found.st_mode:o} {found.st_uid} {found.st_size} {each}" for each, found in facts]


PIECES = (
    Piece("versions/hostler", hostler),
    Piece("config", configuration),
    Piece("kernel", kernel),
    Piece("mounts", mounts),
    Piece("cgroups", cgroups),
    Piece("state", store),
    Piece("folders", folders),
    Piece("journal/own-containerd", own_containerd),
)
