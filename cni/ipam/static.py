"""Gives the addresses that the configuration lists: the reference plugin `static`, without a store.

Later ones take the place of earlier ones: `ipam.addresses` (with `IP` and `GATEWAY` of `CNI_ARGS`
added), `args.cni.ips`, the capability argument `ips`. Run by `addressing`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.spec import DNS, IP, Args, Attachment, Result, Route


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """What is given to each attachment; `requested` is what the configuration's `args` ask for."""

    ips: tuple[IP, ...]
    requested: tuple[IP, ...]
    routes: tuple[Route, ...]
    dns: DNS


def parse(fields: Fields) -> StaticConfig:
    """Read the `ipam` object of a network's configuration."""
    ipam = fields.object("ipam")
    return StaticConfig(
        ips=tuple(_ip(each) for each in ipam.objects("addresses")),
        requested=_ips(fields.object("args").object("cni")),
        routes=ipam.routes("routes"),
        dns=ipam.dns("dns"),
    )


def add(conf: StaticConfig, args: Args, _context: Context) -> Result:
    """Return the addresses; raises number 7 when there are none."""
    asked = _ips(Fields(args.runtime, "runtimeConfig"))
    ips = asked or conf.requested or (*conf.ips, *_environment_ips(args))
    if not ips:
        raise CNIError(Code.INVALID_CONFIG, "ipam.addresses must be given")
    return Result(ips=ips, routes=conf.routes, dns=conf.dns)


def check(_conf: StaticConfig, _args: Args, _context: Context) -> None:
    """Nothing is kept that could be lost."""


def delete(_conf: StaticConfig, _args: Args, _context: Context) -> None:
    """Nothing is kept."""


def gc(_conf: StaticConfig, _valid: Collection[Attachment], _context: Context) -> None:
    """Nothing is kept."""


def status(_conf: StaticConfig, _context: Context) -> None:
    """It can always give."""


def _ip(fields: Fields) -> IP:
    address = fields.interface("address")
    if address is None or "/" not in fields.text("address"):
        raise fields.wrong("address", "must be an address with its prefix length")
    return IP(address, fields.address("gateway"))


def _ips(fields: Fields) -> tuple[IP, ...]:
    return tuple(
        _ip(Fields({"address": text}, f"{fields.path('ips')}[{at}]"))
        for at, text in enumerate(fields.texts("ips"))
    )


def _environment_ips(args: Args) -> tuple[IP, ...]:
    """`IP` and `GATEWAY` are lists with commas; a gateway belongs to the address it can reach."""
    try:
        gateways = [ip_address(text) for text in _words(args, "GATEWAY")]
        addresses = [ip_interface(text) for text in _words(args, "IP")]
    except ValueError as error:
        raise CNIError(
            Code.INVALID_ENVIRONMENT, "CNI_ARGS has a wrong address", str(error)
        ) from error
    return tuple(
        IP(address, next((each for each in gateways if each in address.network), None))
        for address in addresses
    )


def _words(args: Args, key: str) -> list[str]:
    return [text.strip() for text in args.cni_args.get(key, "").split(",") if text.strip()]
