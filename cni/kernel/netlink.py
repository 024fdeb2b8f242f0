"""A netlink socket: packs requests, sends several at once, matches the kernel's answers to them.

Used by `rtnetlink` and `nft`, which know the messages. A socket belongs for ever to the network
namespace of the thread that made it, and to one user at a time: it has no lock.

References: netlink(7), linux/netlink.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_DUMP: Final = 0x300
NLM_F_CREATE: Final = 0x400
_NLM_F_DUMP_INTR: Final = 0x10
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLMSGERR_ATTR_MSG: Final = 1
_NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_SOL_NETLINK: Final = 270
_NETLINK_NO_ENOBUFS: Final = 5
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12
_SO_SNDBUFFORCE: Final = 32

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = struct.Struct("=i")
# The kernel answers within microseconds, or tens of milliseconds when it must wait for RCU.
_DEADLINE: Final = struct.pack("@ll", 5, 0)
# The kernel fills at most 32 KiB per datagram of a dump.
_BUFFER_BYTES: Final = 65536
# One transaction may publish every port there is, at about 120 bytes each.
_SEND_BYTES: Final = 8 << 20
_DUMP_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One message for the kernel; `what` names it in errors."""

    what: str
    type: int
    flags: int
    body: bytes


class NetlinkError(OSError):
    """The kernel refused a request; `position` is its place among those sent together."""

    def __init__(self, code: int, what: str, reason: str = "", position: int = 0) -> None:
        text = f"{what}: {os.strerror(code)}"
        super().__init__(code, f"{text} ({reason})" if reason else text)
        self.position = position


@contextmanager
def tolerating(code: int) -> Iterator[None]:
    """Let a refusal with this errno pass: what was asked for is so already."""
    try:
        yield
    except NetlinkError as error:
        if error.errno != code:
            raise


@dataclass(frozen=True, slots=True)
class Message:
    """What the kernel says; `port` is that of the socket it answers, also to third parties."""

    type: int
    flags: int
    sequence: int
    port: int
    body: bytes


class NetlinkSocket:
    """A netlink socket of one protocol, in the network namespace of the calling thread."""

    def __init__(self, protocol: int) -> None:
        # A datagram socket, so that other netlink libraries can be handed its descriptor.
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, protocol)
        # Not Python's own timeout, with which MSG_DONTWAIT would wait as well.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _DEADLINE)
        self._sequence = 0
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BYTES)
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        # A refused batch may answer with more errors than fit; the first one says it all.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor, as selectors and other netlink libraries want it."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """What the kernel knows the socket by, in messages to others about its doings."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        """Close the socket; it no longer keeps its namespace alive."""
        self._socket.close()

    def execute(self, requests: Sequence[Request]) -> None:
        """Send the requests at once and wait until each that asks for it is acknowledged.

        rtnetlink carries them out in order, each for itself: a refused one neither stops those
        after it nor undoes those before it. Raises NetlinkError for the first that was refused.
        """
        first = self._send(requests)
        waiting = {first + at for at, request in enumerate(requests) if request.flags & NLM_F_ACK}
        failure: NetlinkError | None = None
        while waiting:
            for message in self._receive():
                position = message.sequence - first
                if message.type != _NLMSG_ERROR or not 0 <= position < len(requests):
                    continue
                code = -_ERROR.unpack_from(message.body)[0]
                if code and failure is None:
                    reason = _reason(message)
                    failure = NetlinkError(code, requests[position].what, reason, position)
                if code and message.sequence not in waiting:
                    waiting.clear()  # one of a batch, or its envelope: all of it has failed
                waiting.discard(message.sequence)
        if failure is not None:
            self._drain()
            raise failure

    def query(self, request: Request) -> list[bytes]:
        """Return the bodies of the answers; a dump that others' changes disturbed is repeated."""
        for _ in range(_DUMP_ATTEMPTS):
            answers = self._answers(request)
            if answers is not None:
                return answers
        raise NetlinkError(errno.EAGAIN, request.what, "the list changes too fast to be read")

    def _answers(self, request: Request) -> list[bytes] | None:
        sequence = self._send([request])
        bodies: list[bytes] = []
        disturbed = False
        while True:
            for message in self._receive():
                if message.sequence != sequence:
                    continue
                disturbed = disturbed or bool(message.flags & _NLM_F_DUMP_INTR)
                if message.type not in (_NLMSG_ERROR, _NLMSG_DONE):
                    bodies.append(message.body)
                    continue
                if code := -_ERROR.unpack_from(message.body)[0]:
                    raise NetlinkError(code, request.what, _reason(message))
                return None if disturbed else bodies

    def _send(self, requests: Sequence[Request]) -> int:
        """Send and return the sequence number of the first request."""
        first = self._sequence + 1
        self._sequence += len(requests)
        self._socket.send(
            b"".join(_pack(request, first + at) for at, request in enumerate(requests))
        )
        return first

    def _drain(self) -> None:
        """Throw away the other errors of a batch, lest they leave no room for the next answer.

        They are all there: the kernel works while it is sent to.
        """
        with suppress(BlockingIOError):
            while self._socket.recv(1, socket.MSG_DONTWAIT):
                pass

    def _receive(self) -> Iterator[Message]:
        try:
            datagram = self._socket.recv(_BUFFER_BYTES)
        except BlockingIOError as error:
            raise TimeoutError("the kernel does not answer on netlink") from error
        yield from messages(datagram)


def messages(datagram: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, port = _HEADER.unpack_from(datagram, at)
        yield Message(kind, flags, sequence, port, datagram[at + _HEADER.size : at + length])
        at += _aligned(length)


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute with its header and padding."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


def nested(kind: int, *attributes: bytes) -> bytes:
    """Return an attribute that contains others."""
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def attributes(body: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """Type and value of each attribute from `start` on."""
    found = []
    at, end, unpack = start, len(body) - _ATTRIBUTE.size, _ATTRIBUTE.unpack_from
    while at <= end:
        length, kind = unpack(body, at)
        found.append((kind & _NLA_TYPE_MASK, body[at + _ATTRIBUTE.size : at + length]))
        at += (length + 3) & ~3  # _aligned: this is where the time goes
    return found


def _pack(request: Request, sequence: int) -> bytes:
    length = _HEADER.size + len(request.body)
    flags = request.flags | NLM_F_REQUEST
    header = _HEADER.pack(length, request.type, flags, sequence, 0)
    return header + request.body + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _reason(message: Message) -> str:
    """The kernel's own words, when it has some (NETLINK_EXT_ACK)."""
    if not message.flags & _NLM_F_ACK_TLVS:
        return ""
    # NETLINK_CAP_ACK: only the header of the refused request stands between code and attributes.
    start = _ERROR.size + (_HEADER.size if message.type == _NLMSG_ERROR else 0)
    text = dict(attributes(message.body, start)).get(_NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode(errors="replace")
