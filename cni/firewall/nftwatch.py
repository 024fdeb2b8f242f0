"""Tells when somebody else changes our nftables table, and who: by the kernel's own messages.

A transaction comes as one message for each object, then one for the new generation that says which
process made it. Ours are those of our own sockets, and those that make the table anew with nft(8):
they end with the element that tells its version (`ruleset`).

References: linux/netfilter/nf_tables.h (NFT_MSG_NEWGEN), linux/netfilter/nfnetlink.h.
"""

import errno
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Self

from cni.firewall.ruleset import VERSION, VERSION_KEY
from cni.kernel import nfnetlink
from cni.kernel.netlink import Message, attributes, messages

_GROUP: Final = 7
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_BUFFER_BYTES: Final = 65536
# Publishing every port there is makes about 200 bytes of messages for each.
_QUEUE_BYTES: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33

_NAMES: Final = {
    0: "table", 2: "table", 3: "chain", 5: "chain", 6: "rule", 8: "rule", 9: "set", 11: "set",
    12: "element", 14: "element", 18: "object", 20: "object", 22: "flowtable", 24: "flowtable",
}  # fmt: skip
_DELETES: Final = frozenset({2, 5, 8, 11, 14, 20, 24})
_NEWTABLE: Final = 0
_NEWGEN: Final = 15
_GEN_PID, _GEN_NAME = 2, 3
_TABLE: Final = 1  # in messages about any kind of object
_SET_NAME: Final = 2


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction of another process upon our table."""

    what: str
    by: str

    def __str__(self) -> str:
        return f"{self.what} by {self.by}"


LOST: Final = Change("changed faster than can be followed", "some process")


@dataclass(slots=True)
class _Transaction:
    """What has been said so far of a transaction, as far as it concerns our table."""

    done: dict[str, int] = field(default_factory=dict)
    is_making: bool = False

    def note(self, deed: str) -> None:
        self.done[deed] = self.done.get(deed, 0) + 1

    def __str__(self) -> str:
        if "table deleted" in self.done:  # and with it all that was in it
            return "table deleted"
        return ", ".join(f"{count} x {deed}" for deed, count in self.done.items())


class Watch:
    """Follows a table in the calling thread's network namespace, from now on.

    `ours` are the ports (`NetlinkSocket.port`) of sockets whose changes are our own. For a loop's
    `add_reader`: the descriptor does not block. `elsewhere` becomes true when chains or rules of
    other tables change; whoever has taken note of that sets it back.
    """

    def __init__(self, table: str, ours: Collection[int]) -> None:
        self._table = table.encode()
        self._ours = ours
        self._open = _Transaction()
        self.elsewhere = False
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM, nfnetlink.NETLINK_NETFILTER
        )
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BYTES)
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
        self._socket.settimeout(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, readable when something is pending."""
        return self._socket.fileno()

    def close(self) -> None:
        """Follow no longer."""
        self._socket.close()

    def changes(self) -> list[Change]:
        """What others have done to the table since the last call; `LOST` when some was missed."""
        found: list[Change] = []
        while True:
            try:
                datagram = self._socket.recv(_BUFFER_BYTES)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._open = _Transaction()
                found.append(LOST)
                continue
            for message in messages(datagram):
                change = self._take(message)
                if change is not None:
                    found.append(change)

    def _take(self, message: Message) -> Change | None:
        """Note a message; the one that ends a foreign transaction upon our table is a change."""
        subsystem, kind = divmod(message.type, 256)
        if subsystem != nfnetlink.SUBSYSTEM:
            return None
        if kind != _NEWGEN:
            self._note(kind, message.body)
            return None
        done, self._open = self._open, _Transaction()
        if not done.done or done.is_making or message.port in self._ours:
            return None
        return Change(str(done), _process(message.body))

    def _note(self, kind: int, body: bytes) -> None:
        parts = dict(attributes(body, nfnetlink.HEADER_SIZE))
        is_inet = body[0] == nfnetlink.NFPROTO_INET
        if not is_inet or parts.get(_TABLE, b"").rstrip(b"\0") != self._table:
            self.elsewhere = self.elsewhere or _NAMES.get(kind) in ("chain", "rule")
            return
        if kind == nfnetlink.NEWSETELEM and parts[_SET_NAME].rstrip(b"\0") == VERSION.encode():
            elements = nfnetlink.unpack_elements(body)
            self._open.is_making |= any(element.key == VERSION_KEY for element in elements)
        if kind in _NAMES:
            self._open.note(f"{_NAMES[kind]} {'deleted' if kind in _DELETES else 'added'}")


def _process(body: bytes) -> str:
    """Name and number of the process that a new generation names; older kernels name none."""
    parts = dict(attributes(body, nfnetlink.HEADER_SIZE))
    if _GEN_PID not in parts:
        return "an unknown process"
    (pid,) = struct.unpack("!I", parts[_GEN_PID])
    name = parts.get(_GEN_NAME, b"").rstrip(b"\0").decode(errors="replace")
    return f"{name} (process {pid})"
