"""Latency and loss for a part of what leaves an interface, by the kernel's traffic control.

The tree is ECS's. A `prio` at the root sends all to a band of its own, untouched, but what u32
filters find by its destination. That goes through two layers of `prio` with ten bands each, by a
hash of its flow, to one of a hundred leaves, of which one for each percent asked for is `netem`. So
a flow is either hit or not. Nothing is remembered: what is there is read from the kernel.

The first leaf comes last and makes a fault of it: a tree without it is half-made, and is replaced.

References: tc-prio(8), tc-netem(8), tc-u32(8), tc-flow(8).
"""

import errno
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, Literal, Protocol, TypeAlias

from cni.errors import CNIError, Code
from cni.kernel.netlink import NLM_F_DUMP, NetlinkSocket, Request

Network: TypeAlias = IPv4Network | IPv6Network
Kind: TypeAlias = Literal["latency", "loss"]

_RTM_GETQDISC: Final = 38
_TCMSG: Final = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info

_TOP: Final = 0xFFFFFFFF
_ROOT: Final = 0x1 << 16
_HIT, _UNTOUCHED = _ROOT | 1, _ROOT | 3
_TENS: Final = 0x10 << 16
_LEAVES: Final = 0x100
_NETEM: Final = 0x200
_PER_LAYER: Final = 10

_ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}
_DESTINATIONS: Final = {4: 16, 6: 24}
"""Offsets of the destination in a header."""

_MODULES: Final = {"prio": "sch_prio", "netem": "sch_netem", "u32": "cls_u32", "flow": "cls_flow"}


@dataclass(frozen=True, slots=True)
class Shaping:
    """What happens to `flows_percent` of the flows to `networks`, but for the `exempt`.

    Either a delay in milliseconds that varies by the jitter, or a loss in percent.
    """

    networks: tuple[Network, ...]
    exempt: tuple[Network, ...] = ()
    flows_percent: int = 100
    delay_ms: int = 0
    jitter_ms: int = 0
    loss_percent: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One command to traffic control, as pyroute2 has them; `kind` names a part of the kernel."""

    command: str
    kind: str
    words: Mapping[str, Any]


class Control(Protocol):
    """Traffic control in one namespace (`pyroute2.IPRoute`)."""

    def tc(self, command: str, kind: str | None = None, **words: Any) -> object:
        """Carry out one command. Raises an exception with `code`, an errno."""

    def get_qdiscs(self) -> Sequence[Any]:
        """The queueing disciplines of all interfaces. Raises likewise."""


@contextmanager
def controlling(links: NetlinkSocket) -> Iterator[Control]:
    """Traffic control where the socket is."""
    from pyroute2 import IPRoute  # takes 150 ms, and is rarely needed

    with IPRoute(fileno=os.dup(links.fileno())) as control:
        yield control


def suspected(links: NetlinkSocket) -> bool:
    """Whether anything may be shaped where the socket is; cheaper than `found`."""
    request = Request("list qdiscs", _RTM_GETQDISC, NLM_F_DUMP, _TCMSG.pack(0, 0, 0, 0, 0))
    return any(_TCMSG.unpack_from(each)[2] == _TENS for each in links.query(request))


def found(control: Control) -> dict[int, Kind]:
    """The interfaces that are shaped, by index, and how. Raises CNIError."""
    return {
        qdisc["index"]: "loss" if qdisc.get_attr("TCA_OPTIONS")["loss"] else "latency"
        for qdisc in _listed(control)
        if qdisc["parent"] == _leaf(0) and qdisc.get_attr("TCA_KIND") == "netem"
    }


def start(control: Control, indexes: Sequence[int], shaping: Shaping) -> None:
    """Shape what leaves these interfaces, all of them or none. Raises CNIError.

    Latency or loss must not be there.
    """
    try:
        for index in indexes:
            remove(control, index)
            for step in steps(index, shaping):
                _do(control, step)
    except Exception:
        for index in indexes:
            remove(control, index)
        raise


def remove(control: Control, index: int) -> None:
    """Shape it no more, if it was; what others made at its root stays. Raises CNIError."""
    qdiscs = [each for each in _listed(control) if each["index"] == index]
    if not any(map(_is_root, qdiscs)):
        return
    if any(each["parent"] == _HIT and each["handle"] == _TENS for each in qdiscs):
        words = {"index": index, "parent": _HIT, "handle": _TENS}
        _do(control, Step("del", "prio", words))
    _do(control, Step("del", "prio", {"index": index, "parent": _TOP, "handle": _ROOT}))


def steps(index: int, shaping: Shaping) -> Iterator[Step]:
    """All that makes the tree on one interface, in order."""
    yield _prio(index, _TOP, _ROOT, bands=3, band=2)
    yield _prio(index, _HIT, _TENS, bands=_PER_LAYER)
    for ten in range(_PER_LAYER):
        yield _prio(index, _TENS | ten + 1, _leaves(ten), bands=_PER_LAYER)
    for leaf in range(1, shaping.flows_percent):
        yield _netem(index, leaf, shaping)
    yield _spread(index, _TENS)
    for ten in range(_PER_LAYER):
        yield _spread(index, _leaves(ten))
    # Filters of one priority must be of one protocol.
    for place, (networks, target) in enumerate(
        ((shaping.exempt, _UNTOUCHED), (shaping.networks, _HIT))
    ):
        for network in networks:
            prio = 2 * place + (1 if network.version == 4 else 2)
            yield _match(index, network, prio, target)
    yield _netem(index, 0, shaping)


def keys(network: Network) -> list[str]:
    """What u32 compares to find packets to the network: words of the header, masked."""
    address, mask = network.network_address.packed, network.netmask.packed
    at = _DESTINATIONS[network.version]
    words = range(0, -(-network.prefixlen // 32) * 4, 4)
    compared = [
        f"0x{address[word : word + 4].hex()}/0x{mask[word : word + 4].hex()}+{at + word}"
        for word in words
    ]
    return compared or [f"0x0/0x0+{at}"]


def _prio(index: int, parent: int, handle: int, *, bands: int, band: int = 0) -> Step:
    """Bands of which whatever no filter speaks of gets one."""
    words = {"parent": parent, "handle": handle, "bands": bands, "priomap": [band] * 16}
    return Step("add", "prio", {"index": index, **words})


def _netem(index: int, leaf: int, shaping: Shaping) -> Step:
    words: dict[str, Any] = {"index": index, "parent": _leaf(leaf), "handle": _NETEM + leaf << 16}
    if shaping.loss_percent:
        words["loss"] = shaping.loss_percent
    else:
        words["delay"], words["jitter"] = shaping.delay_ms * 1000, shaping.jitter_ms * 1000
    return Step("add", "netem", words)


def _spread(index: int, parent: int) -> Step:
    """A flow always has the same of ten bands; each filter has a hash of its own."""
    words = {"index": index, "parent": parent, "handle": 1, "prio": 1, "mode": "hash"}
    of_flow = {"keys": "src,dst,proto,proto-src,proto-dst", "divisor": _PER_LAYER}
    return Step("add-filter", "flow", {**words, **of_flow, "baseclass": parent | 1})


def _match(index: int, network: Network, prio: int, target: int) -> Step:
    words = {"index": index, "parent": _ROOT, "prio": prio, "target": target}
    protocol = _ETHERTYPES[network.version]
    return Step("add-filter", "u32", {**words, "protocol": protocol, "keys": keys(network)})


def _leaves(ten: int) -> int:
    """The qdisc with ten of the leaves."""
    return _LEAVES + ten << 16


def _leaf(number: int) -> int:
    """The class of one of the hundred leaves."""
    ten, band = divmod(number, _PER_LAYER)
    return _leaves(ten) | band + 1


def _is_root(qdisc: Any) -> bool:
    """Whether it is the root of such a tree, by all that is known of it."""
    if (qdisc["parent"], qdisc["handle"]) != (_TOP, _ROOT):
        return False
    options = qdisc.get_attr("TCA_OPTIONS")
    return (
        qdisc.get_attr("TCA_KIND") == "prio"
        and options["bands"] == 3
        and set(options["priomap"]) == {2}
    )


def _listed(control: Control) -> Sequence[Any]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return control.get_qdiscs()
    except NetlinkError as error:
        reason = os.strerror(error.code)
        raise CNIError(Code.IO_FAILURE, "cannot list queueing disciplines", reason) from error


def _do(control: Control, step: Step) -> None:
    """Raises CNIError."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        control.tc(step.command, step.kind, **step.words)
    except NetlinkError as error:
        if error.code == errno.ENOENT and step.command.startswith("add"):
            raise _lacking(step.kind) from error
        if error.code == errno.EEXIST and step.words["parent"] == _TOP:
            msg = "the interface has a queueing discipline of somebody else at its root"
            raise CNIError(Code.TRY_AGAIN_LATER, msg, "tc qdisc show tells of it") from error
        reason = os.strerror(error.code)
        raise CNIError(Code.IO_FAILURE, f"tc {step.command} {step.kind}", reason) from error


def _lacking(kind: str) -> CNIError:
    what = "classifier" if _MODULES[kind].startswith("cls_") else "qdisc"
    return CNIError(
        Code.PLUGIN_NOT_AVAILABLE,
        f"the kernel of this host has no {what} {kind}",
        f"install the package with its module {_MODULES[kind]} (on some systems "
        "linux-modules-extra or kernel-modules-extra), or a kernel that has it",
    )
