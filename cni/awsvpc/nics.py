"""NICs lent to containers: moved into their namespaces and, whatever happens, given back.

What a NIC was is written down before it is touched, and the NIC is marked with the name of that
record as its alias, which it keeps wherever it goes. The order is: record, mark, move; and back:
move, put back, unmark, remove the record. So after a crash anywhere the record is there, and the
mark tells which interface it is of, whether still in the container's namespace or brought back by
the kernel, down and renamed, when that died:

  <state_dir>/nics/c1@eth0.json      and      hostler:c1@eth0      as the alias of the NIC

The kernel brings back only a driver's interfaces (not a veth, tap or VLAN), to the initial
namespace, some time after the last process, socket and mount of the dying one is gone.
"""

import errno
import logging
import select
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from cni.awsvpc import nicstate, uplinks
from cni.awsvpc.nicrecords import MARK, Record, Records
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.kernel import netns, rtnetlink
from cni.kernel.netlink import NetlinkError, NetlinkSocket
from cni.kernel.rtnetlink import Link
from cni.spec import Args, Attachment

_log = logging.getLogger(__name__)

_INITIAL: Final = Path("/proc/1/ns/net")
_RTMGRP_LINK: Final = 1
_BUFFER_BYTES: Final = 65536
# The kernel needs some tens of milliseconds, more where many namespaces die at once.
_PATIENCE_S: Final = 3.0
# As the kernel itself names what it brings back and whose name is taken.
_ANY_NAME: Final = "dev%d"


def lend(name: str, mac: str, network: str, args: Args, context: Context) -> None:
    """Move the NIC of that name or MAC, or both, into the container's namespace as `args.ifname`.

    It arrives down and bare. Raises number 11 when there is none (yet), or it is lent already.
    """
    if args.netns is None:
        raise CNIError(Code.INVALID_NAMESPACE, "there is no namespace to lend a NIC to")
    records = _records(context)
    with records.locked():
        _take_in_strays(records, context)
        nic = _wanted(name, mac, records, context)
        state = nicstate.take_down(context.links, nic)
        if state.alias.startswith(MARK):  # of a record that is lost
            state = replace(state, alias="")
        namespace = args.netns.stat().st_ino
        record = Record(
            network, args.attachment, args.netns, namespace, nic.kind, nic.permanent_mac, state
        )
        records.write(record)
        context.links.execute([rtnetlink.set_alias(nic.index, record.mark)])
        with netns.descriptor(args.netns) as there:
            context.links.execute([rtnetlink.move_link(nic.index, there, args.ifname)])


@reported("cannot give the NIC back")
def give_back(attachment: Attachment, context: Context) -> None:
    """Give back what the attachment was lent; nothing is fine.

    When the kernel has yet to bring it back, waits for that. Should it not come within seconds the
    record stays, and whoever finds the NIC later puts it back: the next `lend` or `restore_all`.
    """
    records = _records(context)
    if records.read(attachment) is None:
        return
    deadline = time.monotonic() + _PATIENCE_S
    with _link_events() as events:
        while True:
            with records.locked():
                record = records.read(attachment)
                if record is None or _settled(record, records, context) is not None:
                    return
            if not _came(events, deadline):
                _log.warning("%s has not come back yet", _name(record))
                return


@reported("cannot give NICs back")
def restore_all(
    context: Context, valid: Collection[Attachment], network: str | None = None
) -> list[str]:
    """Give back what is lent to none of the valid attachments, of all networks or one.

    Returns what was done, a line for people each, failures too. Does not wait: what the kernel has
    yet to bring back is told as well, and comes with the next call.
    """
    told = []
    records = _records(context)
    if not records.any():
        return []
    with records.locked():
        records.tidy()
        for record in records.all():
            if record.attachment in valid or network not in (None, record.network):
                continue
            try:
                done = _settled(record, records, context) or "has not come back yet"
            except (CNIError, OSError) as error:
                done = f"cannot be given back: {error}"
            told.append(f"{_name(record)} {done}")
    return told


def lent_to_others(context: Context, valid: Collection[Attachment], network: str) -> list[str]:
    """The network's NICs that are lent to none of the valid attachments; changes nothing."""
    records = [each for each in _records(context).all() if each.network == network]
    return [_name(each) for each in records if each.attachment not in valid]


def _records(context: Context) -> Records:
    return Records(context.state_dir / "nics")


def _name(record: Record) -> str:
    return f"{record.state.name} ({record.state.mac}) of container {record.attachment.container_id}"


def _wanted(name: str, mac: str, records: Records, context: Context) -> Link:
    try:
        return uplinks.find_nic(rtnetlink.list_links(context.links), name, mac)
    except CNIError as error:
        for record in records.all():
            known = (record.state.mac, record.permanent_mac)
            if (not mac or mac in known) and (not name or name == record.state.name):
                holder = f"it is lent to container {record.attachment.container_id}"
                raise CNIError(error.code, error.msg, holder) from error
        raise


def _take_in_strays(records: Records, context: Context) -> None:
    """Put back those that are in the host though lent: brought by the kernel, or left half-way."""
    lent = {record.mark: record for record in records.all()}
    for link in rtnetlink.list_links(context.links) if lent else []:
        if link.alias in lent:
            _settled(lent[link.alias], records, context)


def _settled(record: Record, records: Records, context: Context) -> str | None:
    """Give a NIC back, from wherever it is, and say so; None when the kernel may yet bring it."""
    here = rtnetlink.list_links(context.links)
    nic = _marked(here, record) or _fetched(record, context)
    if nic is None:
        lookalike = next((link for link in here if _resembles(link, record)), None)
        if lookalike is None and not record.kind and _namespace_gone(record):
            return None
        if lookalike is None or lookalike.name == record.state.name:
            # It was not touched yet, was put back already, or is no more.
            records.remove(record)
            return "is as it was" if lookalike else "is no longer on this host"
        nic = lookalike  # its mark was taken away in the container
    return _put_back(nic, record, records, context)


def _put_back(nic: Link, record: Record, records: Records, context: Context) -> str:
    state, told = record.state, []
    others = [link for link in rtnetlink.list_links(context.links) if link.index != nic.index]
    if any(link.name == state.name for link in others):
        told.append(f"its name is taken, it is called {nic.name}")
        state = replace(state, name=nic.name)
    told += nicstate.put_back(context.links, nic, state)
    if told:
        _log.warning("%s was given back, but %s", _name(record), "; ".join(told))
    context.links.execute([rtnetlink.set_alias(nic.index, state.alias)])
    records.remove(record)
    return f"given back, but {'; '.join(told)}" if told else "given back"


def _fetched(record: Record, context: Context) -> Link | None:
    """Find the NIC in the container's namespace or the initial one and move it here."""
    for path in (record.netns, _INITIAL):
        if not _is_elsewhere(path):
            continue
        with context.namespaces.call(path, rtnetlink.open_socket) as there:
            links = rtnetlink.list_links(there)
            nic = _marked(links, record)
            if nic is None and path == record.netns and not _namespace_gone(record):
                nic = next((link for link in links if _resembles(link, record)), None)
                if nic is not None:  # its mark was taken away; it is needed on the way
                    there.execute([rtnetlink.set_alias(nic.index, record.mark)])
            if nic is not None:
                _move_here(nic, record, there, context)
                return _marked(rtnetlink.list_links(context.links), record)
    return None


def _is_elsewhere(path: Path) -> bool:
    """Whether that is another namespace; root of a container may not look into process 1's."""
    try:
        return netns.exists(path) and not netns.is_own(path)
    except PermissionError:
        return False


def _move_here(nic: Link, record: Record, there: NetlinkSocket, context: Context) -> None:
    taken = rtnetlink.get_link(context.links, record.state.name) is not None
    with netns.descriptor(None) as here:
        for name in [record.state.name] * (not taken) + [_ANY_NAME]:
            try:
                there.execute([rtnetlink.move_link(nic.index, here, name)])
            except NetlinkError as error:
                # Somebody else took the name meanwhile. It may be here even so.
                if error.errno != errno.EEXIST or name == _ANY_NAME:
                    raise
            if rtnetlink.link_at(there, nic.index) is None:
                return


def _marked(links: Sequence[Link], record: Record) -> Link | None:
    return next((link for link in links if link.alias == record.mark), None)


def _resembles(link: Link, record: Record) -> bool:
    if not uplinks.is_nic(link) or link.kind != record.kind:
        return False
    if record.permanent_mac:
        return link.permanent_mac == record.permanent_mac
    return link.mac == record.state.mac


def _namespace_gone(record: Record) -> bool:
    """Whether the namespace it was lent to has lost its name, or that names another one now."""
    try:
        return record.netns.stat().st_ino != record.namespace or not netns.exists(record.netns)
    except FileNotFoundError:
        return True


@contextmanager
def _link_events() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, _RTMGRP_LINK))
        yield events


def _came(events: socket.socket, deadline: float) -> bool:
    """Wait until some link has changed."""
    left = deadline - time.monotonic()
    if left <= 0 or not select.select([events], [], [], left)[0]:
        return False
    try:
        events.recv(_BUFFER_BYTES)
    except OSError as error:
        if error.errno != errno.ENOBUFS:  # so many have that some events were lost
            raise
    return True
