"""The chained plugin `hostler-firewall`: allow-lists of one task, inside its own namespace.

The capability argument `securityGroups` says what may come in and go out (`allowlist`). Without it
nothing is made and nothing costs. With it, what is not allowed is dropped in each direction that it
speaks of, on the interface `CNI_IFNAME` only: `lo`, where the task's metadata is, and other
interfaces stay open. Answers to what was allowed always pass, and IPv6 neighbour discovery.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.firewall import nftcommand
from cni.firewall.ruleset import DEFAULT_TABLE, require_table
from cni.kernel import netns
from cni.security import allowlist
from cni.security.allowlist import AllowList
from cni.spec import Args, Attachment, Result

_INTERFACE: Final = re.compile(r"[a-zA-Z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class SecurityConf:
    """The name of the nftables table (family `inet`) in each namespace."""

    table: str = DEFAULT_TABLE


def parse(fields: Fields) -> SecurityConf:
    """The plugin's configuration. Raises number 7."""
    return SecurityConf(require_table(fields.text("table") or DEFAULT_TABLE))


@reported("cannot apply security groups")
def add(conf: SecurityConf, args: Args, context: Context) -> Result:
    """Let pass what the groups allow, in the place of what was allowed before; gives `prev` on.

    An empty object lifts all restrictions of an earlier call.
    """
    if args.prev is None:
        msg = "hostler-firewall must come after the plugin that makes the interface"
        raise CNIError(Code.INVALID_CONFIG, msg)
    allowed = _allowed(args)
    if allowed is not None:
        text = allowlist.script(conf.table, _interface(args), allowed)
        context.namespaces.call(
            netns.required(args.netns), partial(nftcommand.run, "-f", "-", script=text)
        )
    return args.prev


@reported("cannot check security groups")
def check(conf: SecurityConf, args: Args, context: Context) -> None:
    """Raise number 101 unless the rules are those that ADD would make."""
    allowed = _allowed(args)
    if allowed is None or allowed == AllowList():
        return
    text = allowlist.script(conf.table, _interface(args), allowed)
    listing = partial(nftcommand.run, "--stateless", "list", "table", "inet", conf.table)
    found = ""
    try:
        found = context.namespaces.call(netns.required(args.netns), listing)
    except CNIError as error:
        if error.code != Code.IO_FAILURE:  # else there is no such table
            raise
    # nft's own listing depends on its version: compare with one of an empty namespace.
    scratch = _scratch(context) / f"{args.container_id}@{args.ifname}"
    context.namespaces.create(scratch)
    try:
        context.namespaces.call(scratch, partial(nftcommand.run, "-f", "-", script=text))
        wanted = context.namespaces.call(scratch, listing)
    finally:
        netns.remove(scratch)
    if found != wanted:
        msg = f"the rules of container {args.container_id} were changed"
        raise CNIError(Code.CHECK_FAILED, msg)


@reported("cannot lift security groups")
def delete(conf: SecurityConf, args: Args, context: Context) -> None:
    """Lift all restrictions, if there were any; they also go with the namespace."""
    if not args.runtime.get("securityGroups") or args.netns is None:
        return
    if netns.exists(args.netns) and not netns.is_own(args.netns):
        text = allowlist.script(conf.table, args.ifname, AllowList())
        context.namespaces.call(args.netns, partial(nftcommand.run, "-f", "-", script=text))


@reported("cannot clean up after security groups")
def gc(_conf: SecurityConf, _valid: Collection[Attachment], context: Context) -> None:
    """Remove what an interrupted CHECK left; rules don't outlive their namespaces."""
    for path in _scratch(context).glob("*"):
        netns.remove(path)


def status(_conf: SecurityConf, context: Context) -> None:
    """Raise number 50 when nft is not there."""
    context.namespaces.call(None, partial(nftcommand.run, "--version"))


def _allowed(args: Args) -> AllowList | None:
    runtime = Fields(args.runtime, "runtimeConfig")
    if args.runtime.get("securityGroups") is None:
        return None
    return allowlist.parse(runtime.object("securityGroups"))


def _scratch(context: Context) -> Path:
    return context.state_dir / "security"


def _interface(args: Args) -> str:
    """The interface's name, when it can stand in nftables text as it is."""
    if not _INTERFACE.fullmatch(args.ifname):
        msg = f"interface {args.ifname!r} cannot have security groups"
        raise CNIError(Code.INVALID_ENVIRONMENT, msg, "letters, digits, _, . and - can")
    return args.ifname
