"""Which interface of the host is meant by a MAC or a name. Pure. Used by `awsvpc` and `nics`.

A MAC is not unique: a VLAN, macvlan or ipvlan child may have its parent's, a bridge or bond that of
one of its ports. Names change while udev is at work, so what is found is held by its index.
"""

from collections.abc import Callable, Sequence
from typing import Final

from cni.errors import CNIError, Code
from cni.kernel.rtnetlink import Link

_CHILDREN: Final = ("vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec")
_MASTERS: Final = ("bridge", "bond", "team", "vrf", "hsr")
_MOST_NAMED: Final = 12


def has_mac(link: Link, mac: str) -> bool:
    """Whether it has the MAC now, or was made with it."""
    return mac in (link.mac, link.permanent_mac)


def is_nic(link: Link) -> bool:
    """Whether a MAC of the interface is its own."""
    return link.name != "lo" and link.kind not in (*_CHILDREN, *_MASTERS)


def find_nic(links: Sequence[Link], name: str, mac: str) -> Link:
    """The NIC of that MAC or name, or both; hardware goes before what only looks like it.

    Raises number 11 when there is none (yet), number 7 when it can't be had.
    """
    found = [link for link in links if is_nic(link) and _fits(link, name, mac)]
    nic = _only(links, found, lambda link: bool(link.device), name, mac)
    if nic.master:
        owner = next((link.name for link in links if link.index == nic.master), "another interface")
        raise CNIError(Code.INVALID_CONFIG, f"{nic.name} belongs to {owner} of the host")
    return nic


def find_parent(links: Sequence[Link], name: str, mac: str) -> Link:
    """The interface to make children of; rather a bond than its ports. Errors as `find_nic`."""
    found = [link for link in links if link.kind not in _CHILDREN and _fits(link, name, mac)]
    # By its name anything may be meant.
    found = found or [link for link in links if name and not mac and link.name == name]
    return _only(links, found, lambda link: not link.master, name, mac)


def _fits(link: Link, name: str, mac: str) -> bool:
    return (not mac or has_mac(link, mac)) and (not name or link.name == name)


def _only(
    links: Sequence[Link], found: list[Link], prefers: Callable[[Link], bool], name: str, mac: str
) -> Link:
    what = " and ".join([f"MAC {mac}"] * bool(mac) + [f"name {name}"] * bool(name))
    best = [link for link in found if prefers(link)] or found
    if not best:
        raise CNIError(
            Code.TRY_AGAIN_LATER, f"there is no network interface with {what}", _there_are(links)
        )
    if len(best) > 1:
        names = ", ".join(link.name for link in best)
        raise CNIError(Code.INVALID_CONFIG, f"several network interfaces have {what}", names)
    return best[0]


def _there_are(links: Sequence[Link]) -> str:
    nics = [link for link in links if is_nic(link)]
    nics = [link for link in nics if link.device] or nics
    texts = [f"{link.name} ({link.mac})" for link in nics[:_MOST_NAMED]]
    more = ["..."] if len(nics) > _MOST_NAMED else []
    return f"there are {', '.join(texts + more)}" if texts else "there are none"
