"""Pieces that programs of the host tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.cli.checkup import containerd_socket
from agent.cli.support.masks import HIDDEN
from agent.cli.support.pieces import File, Missing, Piece, Site
from agent.host.cgroups import slices
from agent.host.checkup import units
from agent.host.checkup.programs import NotRun, Ran

_VERSIONS = (
    *(("containerd", "--version"), ("runc", "--version"), ("crun", "--version")),
    *(("nft", "--version"), ("iptables", "--version"), ("ip", "-V"), ("systemctl", "--version")),
    *(("catatonit", "--version"), ("uname", "-a")),
)
_LISTINGS = {
    "network/ip-link": ("ip", "-details", "-statistics", "link"),
    "network/ip-address": ("ip", "address"),
    "network/ip-route": ("ip", "route", "show", "table", "all"),
    "network/ip-rule": ("ip", "rule"),
    "network/listening": ("ss", "-lntu"),
    "network/qdiscs": ("tc", "qdisc"),
    "network/iptables-forward": ("iptables", "-w", "1", "-S", "FORWARD"),
    "network/nft-tables": ("nft", "list", "tables"),
    "network/nft-chains": ("nft", "list", "chains"),
    "disk/df": ("df", "-hT"),
    "disk/df-inodes": ("df", "-i"),
}
_CTR = {
    "version": ("version",),
    "plugins": ("plugins", "ls"),
    "namespaces": ("namespaces", "ls"),
    "containers": ("containers", "ls"),
    "tasks": ("tasks", "ls"),
    "leases": ("leases", "ls"),
}

JOURNAL_LINES = 5000
JOURNAL_BYTES = 8 * 1024 * 1024
JOURNAL_S = 20.0
_KERNEL_LINES = 500
_UNITS = (*units.UNITS, "containerd.service")

_REST = r"(?:.*\\\n(?:[ \t]*[#;].*\n)*+)*+.*$"
"""Of a line of a unit: it goes on after a backslash, and past comments (systemd.syntax(7))."""
_ASSIGNED = re.compile(rf"(?m)^([ \t]*(?:Environment|SetCredential\w*)[ \t]*=){_REST}")
"""Values of variables and credentials."""
_EXECUTED = re.compile(rf"(?m)^[ \t]*Exec\w+[ \t]*={_REST}")
_SET = re.compile(r"(?s)(--set[ =\\\n]).*")
"""Settings on a command line."""


def _said(site: Site, *command: str) -> str:
    """What the command prints. Raises Missing."""
    try:
        ran = site.subject.run(*command)
    except NotRun as error:
        raise Missing(str(error)) from None
    if ran.code and not ran.out:
        words = ran.err.strip().splitlines()
        raise Missing(f"{' '.join(command)}: {words[0] if words else f'exit code {ran.code}'}")
    return f"$ {' '.join(command)}\n{_words(ran, ran.out, ran.err)}"


def _words(ran: Ran, *said: str) -> str:
    """What was said, in whole lines where more was cut: half a secret is not known as one."""
    if not ran.cut:
        return "".join(said)
    whole = ("".join(each.rpartition("\n")[:2]) for each in said)
    return f"{''.join(whole)}\n(more was cut)\n"


def programs(site: Site) -> Iterator[File]:
    """Versions, each by its program; what is not there says so."""
    told = []
    for command in _VERSIONS:
        try:
            told.append(_said(site, *command))
        except Missing as error:
            told.append(f"$ {' '.join(command)}\n{error}\n")
    yield "versions/programs.txt", "\n".join(told)


def listing_piece(name: str, *command: str) -> Piece:
    """What one program prints."""

    def get(site: Site) -> Iterator[File]:
        yield f"{name}.txt", _said(site, *command)

    return Piece(name, get)


def own_table(site: Site) -> Iterator[File]:
    """The agent's nftables table, with published ports and addresses."""
    table = site.settings.nft_table
    yield "network/nft-own.txt", _said(site, "nft", "list", "table", "inet", table)


def ctr_piece(name: str) -> Piece:
    """One listing of containerd's own client, of our namespace."""

    def get(site: Site) -> Iterator[File]:
        address = containerd_socket(site.settings)
        if not site.subject.exists(address):
            raise Missing(f"there is no {address}")  # the program would wait for it
        asked = ("ctr", "--address", str(address), "-n", site.settings.containerd_namespace)
        yield f"containerd/{name}.txt", _said(site, *asked, *_CTR[name])

    return Piece(f"containerd/{name}", get)


def sizes(site: Site) -> Iterator[File]:
    """What is large in the agent's own folders."""
    folders = [str(each) for each in (site.settings.state_dir, site.settings.run_dir)]
    yield "disk/sizes.txt", _said(site, "du", "-xhd1", *folders)


def unit_piece(unit: str) -> Piece:
    """A unit as systemd has it."""

    def get(site: Site) -> Iterator[File]:
        _require_systemd(site)
        properties = ",".join((*units.PROPERTIES, "ExecMainStartTimestamp", "ExecMainStatus"))
        shown = _said(site, "systemctl", "show", unit, f"--property={properties}")
        file = _said(site, "systemctl", "cat", unit)
        yield f"units/{unit}.txt", f"{shown}\n{without_values(file)}"

    return Piece(f"units/{unit}", get)


def without_values(text: str) -> str:
    """The text of a unit without the values of variables and credentials in it."""
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    return _EXECUTED.sub(lambda found: _SET.sub(rf"\1{HIDDEN}", found[0]), text)


def journal_piece(unit: str) -> Piece:
    """The last day of a unit's log."""

    def get(site: Site) -> Iterator[File]:
        _require_systemd(site)
        limits = (f"--lines={JOURNAL_LINES}", "--since=-1day", "--output=short-iso")
        yield f"journal/{unit}.log", _journal(site, f"--unit={unit}", *limits)

    return Piece(f"journal/{unit}", get)


def kernel_log(site: Site) -> Iterator[File]:
    """What the kernel said last: who was killed for want of memory, and which disk is failing."""
    try:
        yield "journal/kernel.log", _journal(site, "--dmesg", f"--lines={_KERNEL_LINES}")
    except Missing:
        yield "journal/kernel.log", _said(site, "dmesg", "--ctime")


def _journal(site: Site, *asked: str) -> str:
    try:
        ran = site.subject.run(
            "journalctl", "--no-pager", "--quiet", *asked,
            deadline_s=JOURNAL_S, most=JOURNAL_BYTES,
        )  # fmt: skip
    except NotRun as error:
        raise Missing(str(error)) from None
    if not ran.out:
        raise Missing(ran.err.strip() or "the journal has nothing of it")
    return _words(ran, ran.out)


def _require_systemd(site: Site) -> None:
    if not site.subject.path(slices.BOOTED).is_dir():
        raise Missing("systemd is not the first process of this host")


PIECES = (
    Piece("versions/programs", programs),
    *(listing_piece(name, *command) for name, command in _LISTINGS.items()),
    Piece("network/nft-own", own_table),
    *map(ctr_piece, _CTR),
    Piece("disk/sizes", sizes),
    *map(unit_piece, _UNITS),
    *map(journal_piece, _UNITS),
    Piece("journal/kernel", kernel_log),
)
