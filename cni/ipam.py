"""Address leases of a subnet, as symbolic links in a directory.

  <state_dir>/ipam/<network>/addresses/10.1.0.5      -> c1@eth0    the claim: who has the address
  <state_dir>/ipam/<network>/attachments/c1@eth0     -> 10.1.0.5   the way to find it by container
  <state_dir>/ipam/<network>/last                                  the address handed out last

A link is made with its content in one step or not at all, and only one process can make it, so
nothing is locked and a crash leaves nothing half-written. The second link is made before the first:
each claim can be found by its container, whatever happened in between; a way that leads to
somebody else's claim means nothing.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from cni.context import Context
from cni.errors import CNIError, Code, reported
from cni.spec import IP, Args, Result, Route, require_identifier

_DEFAULT_ROUTE: Final = IPv4Network("0.0.0.0/0")
_LONGEST_PREFIX: Final = 30


@dataclass(frozen=True, slots=True)
class IPAMConfig:
    """The network's name (which names its store) and its subnet; the gateway is the first host."""

    network: str
    subnet: IPv4Network

    def __post_init__(self) -> None:
        require_identifier(self.network, "network name")
        if self.subnet.prefixlen > _LONGEST_PREFIX:
            raise CNIError(Code.INVALID_CONFIG, f"subnet {self.subnet} has no room for containers")

    @property
    def gateway(self) -> IPv4Interface:
        """The bridge's own address, with the subnet's prefix length."""
        return self._with_prefix(self.subnet.network_address + 1)

    def _with_prefix(self, address: IPv4Address) -> IPv4Interface:
        return IPv4Interface((address, self.subnet.prefixlen))


@reported("cannot lease an address")
def add(conf: IPAMConfig, args: Args, context: Context) -> Result:
    """Lease an address, round-robin, with a default route; repeated, it gives the same one.

    Raises number 11 (try again later) when all are leased: they come back as containers go.
    """
    store = _store(conf, context)
    owner = _owner(args.container_id, args.ifname)
    address = store.lease_of(owner)
    if address is None or address not in conf.subnet:
        store.release(owner)
        address = _reserve(store, conf.subnet, owner)
    ip = IP(IPv4Interface((address, conf.subnet.prefixlen)), conf.gateway.ip)
    return Result(ips=(ip,), routes=(Route(_DEFAULT_ROUTE, conf.gateway.ip),))


@reported("cannot release an address")
def delete(conf: IPAMConfig, args: Args, context: Context) -> None:
    """Release the attachment's address; none is fine. Costs the same however many there are."""
    _store(conf, context).release(_owner(args.container_id, args.ifname))


@reported("cannot look up an address")
def check(conf: IPAMConfig, args: Args, context: Context) -> None:
    """Raise number 101 unless the attachment holds an address."""
    if _store(conf, context).lease_of(_owner(args.container_id, args.ifname)) is None:
        msg = f"container {args.container_id} holds no address of network {conf.network}"
        raise CNIError(Code.CHECK_FAILED, msg)


@reported("cannot release addresses")
def gc(conf: IPAMConfig, valid: Collection[tuple[str, str]], context: Context) -> None:
    """Release what belongs to none of the valid attachments (container id, interface name)."""
    _store(conf, context).release_all_but({_owner(*attachment) for attachment in valid})


@dataclass(frozen=True, slots=True)
class _Store:
    root: Path

    @property
    def addresses(self) -> Path:
        return self.root / "addresses"

    @property
    def attachments(self) -> Path:
        return self.root / "attachments"

    def lease_of(self, owner: str) -> IPv4Address | None:
        with suppress(FileNotFoundError):
            address = (self.attachments / owner).readlink().name
            if (self.addresses / address).readlink().name == owner:
                return IPv4Address(address)
        return None

    def claim(self, address: IPv4Address, owner: str) -> bool:
        """Whether the address now belongs to `owner`, who held none."""
        way = self.attachments / owner
        way.unlink(missing_ok=True)
        way.symlink_to(str(address))
        try:
            (self.addresses / str(address)).symlink_to(owner)
        except FileExistsError:
            return False
        return True

    def release(self, owner: str) -> None:
        # The claim goes first: without it the way may stay, not the other way round.
        address = self.lease_of(owner)
        if address is not None:
            (self.addresses / str(address)).unlink(missing_ok=True)
        (self.attachments / owner).unlink(missing_ok=True)

    def release_all_but(self, owners: Collection[str]) -> None:
        for claim in list(_entries(self.addresses)):
            with suppress(FileNotFoundError):  # released meanwhile
                if claim.readlink().name not in owners:
                    claim.unlink()
        for way in list(_entries(self.attachments)):
            if way.name not in owners:
                way.unlink(missing_ok=True)

    def last(self) -> IPv4Address | None:
        """The address handed out last: where to go on. Only a hint, so any damage is forgiven."""
        try:
            return IPv4Address((self.root / "last").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, address: IPv4Address) -> None:
        (self.root / "last").write_text(str(address))


def _store(conf: IPAMConfig, context: Context) -> _Store:
    return _Store(context.state_dir / "ipam" / conf.network)


def _owner(container_id: str, ifname: str) -> str:
    return f"{container_id}@{ifname}"


def _entries(directory: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from directory.iterdir()


def _reserve(store: _Store, subnet: IPv4Network, owner: str) -> IPv4Address:
    store.addresses.mkdir(parents=True, exist_ok=True)
    store.attachments.mkdir(exist_ok=True)
    taken = {claim.name for claim in store.addresses.iterdir()}
    for address in _candidates(subnet, store.last()):
        if str(address) not in taken and store.claim(address, owner):
            store.remember(address)
            return address
    store.release(owner)
    msg = f"all addresses of {subnet} are in use"
    raise CNIError(Code.TRY_AGAIN_LATER, msg, "stop containers or configure a larger subnet")


def _candidates(subnet: IPv4Network, last: IPv4Address | None) -> Iterator[IPv4Address]:
    """Every address for containers once, from the one after `last` on."""
    first = subnet.network_address + 2  # after the gateway
    count = subnet.num_addresses - 3  # without network, gateway and broadcast
    start = int(last) - int(first) + 1 if last is not None and last in subnet else 0
    for step in range(count):
        yield first + (start + step) % count
