"""Hands out addresses of ranges: the plugin hostler-ipam, with host-local's keys and store.

Each range set gives one address to an attachment, by turns; `leases` keeps who has which. Run by
`addressing` for the plugins that have an `ipam` object, or as an executable of its own.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any, Final

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.ipam.leases import LeaseStore
from cni.ipam.ranges import Address, Interface, Network, RangeSet, parse_sets
from cni.spec import DNS, IP, Args, Attachment, Result, Route, require_identifier

_DATA_DIR: Final = "/var/lib/cni/networks"


@dataclass(frozen=True, slots=True)
class IPAMConfig:
    """What a network hands out; `network` and `data_dir` name its store.

    `reserved` are addresses that are given to those only who ask for them. `requested` is asked for
    by the configuration itself.
    """

    network: str
    sets: tuple[RangeSet, ...]
    data_dir: Path = Path(_DATA_DIR)
    lists: tuple[tuple[Fields, ...], ...] = ()
    reserved: tuple[Network, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: DNS = field(default_factory=DNS)
    requested: tuple[Address, ...] = ()

    @property
    def store(self) -> LeaseStore:
        """Where its leases are."""
        return LeaseStore(self.data_dir / self.network)

    def gateways(self) -> list[Interface]:
        """Which gateways the network's addresses may have, each with its prefix length."""
        return [each.interface(each.gateway) for one in self.sets for each in one.ranges]


def parse(fields: Fields) -> IPAMConfig:
    """Read the `ipam` object of a network's configuration (host-local's keys, and `reserved`)."""
    ipam = fields.object("ipam")
    lists = _lists(ipam, "ranges")
    if ipam.values.get("subnet") is not None:
        lists = ((ipam,), *lists)
    reserved = tuple(_network(ipam, "reserved", each) for each in ipam.texts("reserved"))
    resolv_conf = ipam.text("resolvConf")
    return IPAMConfig(
        network=require_identifier(fields.text("name"), "network name", Code.INVALID_CONFIG),
        sets=tuple(parse_sets(lists, reserved)),
        data_dir=Path(ipam.text("dataDir") or _DATA_DIR),
        lists=lists,
        reserved=reserved,
        routes=ipam.routes("routes"),
        dns=read_resolv_conf(Path(resolv_conf)) if resolv_conf else DNS(),
        requested=tuple(_addresses(fields.object("args").object("cni"))),
    )


@reported("cannot lease an address")
def add(conf: IPAMConfig, args: Args, _context: Context) -> Result:
    """Lease an address of each range set; repeated, it gives the same ones.

    Raises number 11 (try again later) when all are leased: they come back as containers go.
    """
    store, owner = conf.store, args.attachment
    sets = _sets(conf, args.runtime)
    wanted = _wanted(conf, args, sets)
    addresses = store.held_at(owner)
    if not _fit(addresses, sets, wanted):
        if addresses:
            store.release_at(owner)
        addresses = _lease(store, owner, sets, wanted)
    ips = []
    for address, one in zip(addresses, sets, strict=True):
        if chosen := one.range_of(address):
            ips.append(IP(chosen.interface(address), chosen.gateway))
    return Result(ips=tuple(ips), routes=conf.routes, dns=conf.dns)


@reported("cannot release an address")
def delete(conf: IPAMConfig, args: Args, _context: Context) -> None:
    """Release the attachment's addresses; none is fine. Costs the same however many there are."""
    conf.store.release(args.attachment)


@reported("cannot look up an address")
def check(conf: IPAMConfig, args: Args, _context: Context) -> None:
    """Raise number 101 unless the attachment holds an address."""
    if not conf.store.held(args.attachment):
        msg = f"container {args.container_id} holds no address of network {conf.network}"
        raise CNIError(Code.CHECK_FAILED, msg)


@reported("cannot release addresses")
def gc(conf: IPAMConfig, valid: Collection[Attachment], _context: Context) -> None:
    """Release what belongs to none of the valid attachments."""
    conf.store.release_all_but(valid)


@reported("cannot look up addresses")
def status(conf: IPAMConfig, _context: Context) -> None:
    """Raise number 50 when a range set has no address left."""
    taken = conf.store.taken()
    for one in conf.sets:
        if sum(one.hands_out(address) for address in taken) >= one.capacity:
            raise CNIError(Code.PLUGIN_NOT_AVAILABLE, *_exhausted(one))


def read_resolv_conf(path: Path) -> DNS:
    """Return what a file in the form of resolv.conf(5) says. Raises number 7."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise CNIError(Code.INVALID_CONFIG, "ipam.resolvConf cannot be read", str(error)) from error
    words = [line.split() for line in lines if line[:1] not in ("#", ";")]
    said = [(each[0], tuple(each[1:])) for each in words if len(each) > 1]
    last = dict(said)  # of several such lines the last one counts
    return DNS(
        nameservers=tuple(values[0] for key, values in said if key == "nameserver"),
        domain=last.get("domain", ("",))[0],
        search=last.get("search", ()),
        options=tuple(each for key, values in said if key == "options" for each in values),
    )


def _lists(fields: Fields, key: str) -> tuple[tuple[Fields, ...], ...]:
    """The range sets of a list of lists, each range an object."""
    lists = fields.list(key)
    for one in lists:
        if not isinstance(one, list) or not all(isinstance(each, dict) for each in one):
            raise fields.wrong(key, "must be a list of lists of ranges")
    return tuple(
        tuple(Fields(each, f"{fields.path(key)}[{at}][{index}]") for index, each in enumerate(one))
        for at, one in enumerate(lists)
    )


def _network(fields: Fields, key: str, text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise fields.wrong(key, "must be a list of addresses and networks") from error


def _addresses(fields: Fields) -> list[Address]:
    try:
        return [ip_interface(text).ip for text in fields.texts("ips")]
    except ValueError as error:
        raise fields.wrong("ips", "must be a list of IP addresses") from error


def _sets(conf: IPAMConfig, runtime: Mapping[str, Any]) -> tuple[RangeSet, ...]:
    """The range sets of one attachment: the runtime's come first."""
    ours = _lists(Fields(runtime, "runtimeConfig"), "ipRanges")
    sets = tuple(parse_sets([*ours, *conf.lists], conf.reserved)) if ours else conf.sets
    if not sets:
        raise CNIError(Code.INVALID_CONFIG, "ipam.ranges must be given")
    return sets


def _wanted(conf: IPAMConfig, args: Args, sets: Collection[RangeSet]) -> list[Address | None]:
    """Which address of each range set the attachment asks for."""
    asked = [*conf.requested, *_addresses(Fields(args.runtime, "runtimeConfig"))]
    if text := args.cni_args.get("IP"):
        try:
            asked.insert(0, ip_interface(text).ip)
        except ValueError as error:
            msg = f"IP={text} in CNI_ARGS is no IP address"
            raise CNIError(Code.INVALID_ENVIRONMENT, msg) from error
    left = list(dict.fromkeys(asked))
    wanted: list[Address | None] = []
    for one in sets:
        wanted.append(next((each for each in left if one.range_of(each)), None))
        with suppress(ValueError):
            left.remove(wanted[-1])  # type: ignore[arg-type]
    if left:
        msg = f"{', '.join(map(str, left))} cannot be given"
        raise CNIError(Code.INVALID_CONFIG, msg, "each range set gives one address of its ranges")
    for each, one in zip(wanted, sets, strict=True):
        if each is not None and any(each == other.gateway for other in one.ranges):
            raise CNIError(Code.INVALID_CONFIG, f"{each} cannot be given", "it is the gateway's")
    return wanted


def _fit(
    held: Collection[Address], sets: Collection[RangeSet], wanted: Collection[Address | None]
) -> bool:
    """Whether these are what an attachment is to have: one of each set, the wanted ones if any."""
    return len(held) == len(sets) and all(
        one.range_of(address) is not None and asked in (None, address)
        for address, one, asked in zip(held, sets, wanted, strict=True)
    )


def _lease(
    store: LeaseStore,
    owner: Attachment,
    sets: Collection[RangeSet],
    wanted: Collection[Address | None],
) -> list[Address]:
    try:
        return [
            _lease_one(store, owner, place, one, asked)
            for place, (one, asked) in enumerate(zip(sets, wanted, strict=True))
        ]
    except (CNIError, OSError):
        store.release_at(owner)
        raise


def _lease_one(
    store: LeaseStore, owner: Attachment, place: int, one: RangeSet, asked: Address | None
) -> Address:
    if asked is not None:
        if store.claim(owner, place, [asked]) is None:
            raise CNIError(Code.TRY_AGAIN_LATER, f"{asked} is in use")
        return asked
    address = store.claim(owner, place, one.candidates(store.last(place)))
    if address is None:
        raise CNIError(Code.TRY_AGAIN_LATER, *_exhausted(one))
    store.remember(place, address)
    return address


def _exhausted(one: RangeSet) -> tuple[str, str]:
    spans = " and ".join(f"{each.first}-{each.last}" for each in one.ranges)
    return f"all addresses of {spans} are in use", "stop containers or configure a larger range"
