"""Makes other firewalls of the host let our bridges' packets through.

A forwarded packet must be accepted by all tables. Docker and ufw drop by the policy of the FORWARD
chain of iptables, firewalld by zone. Here they are asked in their own way to let pass what enters
or leaves our bridges; that nobody outside reaches unpublished ports is still our own table's doing
(`ruleset`). Chains of others that drop on their own are named, not touched.

Everything acts in the calling thread's network namespace, and is safe to repeat.
"""

from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from cni.firewall import firewalld
from cni.firewall.commands import call
from cni.firewall.ruleset import require_table
from cni.kernel import nfnetlink
from cni.kernel.netlink import NLM_F_DUMP, Request, attributes
from cni.spec import require_interface

_HOOKS: Final = ("FORWARD", "DOCKER-USER")
"""Docker puts its own chains before others at each start, but DOCKER-USER before its own."""
_CHAIN_LIMIT: Final = 28
_SUFFIX: Final = "-FORWARD"
# Tells the jumps of all agents: which of them comes first does not matter.
_MARK: Final = "-m comment --comment hostler"

_GETCHAIN: Final = 4
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER: Final = 1
_FORWARD: Final = (2).to_bytes(4, "big")
_DROP: Final = (0).to_bytes(4, "big")
_FAMILIES: Final = {1: "inet", 2: "ip", 10: "ip6"}


def open_forwarding(table: str, bridges: Collection[str]) -> tuple[str, ...]:
    """Have packets from and to the bridges accepted; returns what had to be done, for the log.

    `table` names the nftables table whose bridges they are, and so the chain that is made.
    """
    done: list[str] = []
    for command in _iptables():
        lines = opening(_listing(command), chain_name(table), bridges)
        if lines:
            _restore(command, lines)
            done.append(f"{command}: FORWARD accepts what enters or leaves {_named(bridges)}")
    for bridge in firewalld.untrusted(bridges):
        firewalld.trust(bridge)
        done.append(f"firewalld: {bridge} is in the zone trusted")
    return tuple(done)


def close_forwarding(table: str, bridges: Collection[str]) -> None:
    """Remove all that `open_forwarding` did; none is fine."""
    for command in _iptables():
        lines = closing(_listing(command), chain_name(table))
        if lines:
            _restore(command, lines)
    firewalld.distrust(bridges)


def blocked_by(table: str, bridges: Collection[str]) -> tuple[str, ...]:
    """What would not let the bridges' packets pass, for people; empty when all is well."""
    found = [
        f"{command}: the chain FORWARD does not accept what enters or leaves {_named(bridges)}"
        for command in _iptables()
        if opening(_listing(command), chain_name(table), bridges)
    ]
    found += [
        f"firewalld: {bridge} is not in the zone trusted" for bridge in firewalld.untrusted(bridges)
    ]
    with nfnetlink.open_socket() as firewall:
        request = Request("list chains", nfnetlink.kind(_GETCHAIN), NLM_F_DUMP, nfnetlink.header(0))
        for answer in firewall.query(request):
            found += _dropping(answer)
    return tuple(found)


def chain_name(table: str) -> str:
    """The chain of iptables for a table's bridges, such as HOSTLER-FORWARD."""
    name = require_table(table).upper() + _SUFFIX
    # Where two tables differ in case only, they share a chain: they would be in each other's way.
    if len(name) <= _CHAIN_LIMIT:
        return name
    return sha256(table.encode()).hexdigest()[: _CHAIN_LIMIT - len(_SUFFIX)].upper() + _SUFFIX


def opening(listing: Sequence[str], chain: str, bridges: Collection[str]) -> list[str]:
    """The lines for iptables-restore that open the filter table of that listing (`-S`).

    None when they have been carried out already, or when FORWARD accepts everything.
    """
    jump = f"{_MARK} -j {chain}"
    if "-P FORWARD ACCEPT" in listing and not _rules(listing, "FORWARD"):
        return []
    hooks = [hook for hook in _HOOKS if hook == "FORWARD" or f"-N {hook}" in listing]
    wanted = [
        f"-A {chain} {direction} {require_interface(bridge)} -j ACCEPT"
        for bridge in sorted(bridges)
        for direction in ("-i", "-o")
    ]
    present = [line for line in listing if line.startswith(f"-A {chain} ")]
    behind = [hook for hook in hooks if not _is_ahead(_rules(listing, hook, jump), jump)]
    if present == wanted and not behind:
        return []
    lines = ["*filter", f":{chain} - [0:0]", *wanted]
    for hook in behind:
        lines += [f"-D {hook} {jump}"] * listing.count(f"-A {hook} {jump}")
        lines.append(f"-I {hook} 1 {jump}")
    return [*lines, "COMMIT"]


def closing(listing: Sequence[str], chain: str) -> list[str]:
    """The lines for iptables-restore that remove the chain and all jumps to it."""
    if f"-N {chain}" not in listing:
        return []
    jumps = [line for line in listing if line.startswith("-A ") and line.endswith(f" -j {chain}")]
    return [
        "*filter", *(f"-D {jump[3:]}" for jump in jumps), f"-F {chain}", f"-X {chain}", "COMMIT"
    ]  # fmt: skip


def _rules(listing: Sequence[str], hook: str, own: str = "") -> list[str]:
    """The rules of a chain, without the jumps of ours but `own`."""
    rules = [line.removeprefix(f"-A {hook} ") for line in listing if line.startswith(f"-A {hook} ")]
    return [rule for rule in rules if rule == own or not rule.startswith(_MARK)]


def _is_ahead(rules: Sequence[str], jump: str) -> bool:
    return list(rules[:1]) == [jump] and rules.count(jump) == 1


def _iptables() -> Iterator[str]:
    """The commands to ask, one for each kind of iptables that may have rules here."""
    from shutil import which  # rarely needed, and costs an executable plugin milliseconds

    for base, legacy in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        variants = [name for name in (f"{base}-nft", f"{base}-legacy") if which(name)]
        for name in variants or ([base] if which(base) else []):
            # Asking the legacy one for a table loads it into the kernel.
            if not name.endswith("-legacy") or "filter" in _loaded(legacy):
                yield name


def _loaded(names: str) -> list[str]:
    try:
        return Path("/proc/thread-self/net", names).read_text().split()
    except FileNotFoundError:
        return []


def _listing(command: str) -> list[str]:
    return call(command, "-w", "-S").splitlines()


def _restore(command: str, lines: Sequence[str]) -> None:
    """Carry out the lines as one transaction of the filter table."""
    call(f"{command}-restore", "-w", "--noflush", text="\n".join(lines) + "\n")


def _dropping(answer: bytes) -> Iterator[str]:
    """Say so when the chain forwards nothing by policy; those of iptables are dealt with."""
    family = _FAMILIES.get(answer[0])
    parts = dict(attributes(answer, nfnetlink.HEADER_SIZE))
    hook = dict(attributes(parts.get(_CHAIN_HOOK, b""))).get(_HOOK_NUMBER)
    if family is None or hook != _FORWARD or parts.get(_CHAIN_POLICY) != _DROP:
        return
    table, name = (parts[each].rstrip(b"\0").decode() for each in (_CHAIN_TABLE, _CHAIN_NAME))
    if (table, name) != ("filter", "FORWARD"):
        yield f"nftables: chain {name} of table {family} {table} drops what it does not accept"


def _named(bridges: Collection[str]) -> str:
    return ", ".join(sorted(bridges))
