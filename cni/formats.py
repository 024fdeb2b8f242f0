"""Results and errors as JSON objects, in the form of each version of the specification.

What a version can't say is left out: before 1.0.0 an interface has no MTU, socket path or PCI id.
Read is also the form of 0.1.0 and 0.2.0, which our plugins don't speak but other ones may.
Rules: the specification's section "Result Types", and what its Go library makes of them.
"""

from collections.abc import Mapping
from typing import Any, Final

from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.spec import IP, Interface, Result, Route

VERSIONS: Final = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""The versions that our plugins speak, oldest first."""

_OLDEST: Final = ("0.1.0", "0.2.0")
_WITH_FAMILY: Final = ("0.3.0", "0.3.1", "0.4.0")
_MAX: Final = 2**31 - 1


def decode(data: bytes, what: str) -> Any:
    """The JSON value in `data`. Raises number 6 beginning with `what`."""
    # Plugins that only print an error, or nothing, start sooner without it.
    import json

    try:
        return json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CNIError(Code.UNDECODABLE, f"{what} is not JSON", str(error)) from error


def encode(value: Any) -> bytes:
    """A JSON value as one line of ASCII."""
    import json

    return json.dumps(value, separators=(",", ":")).encode()


def speaks(version: str, since: str) -> bool:
    """Whether a configuration of one of `VERSIONS` has what came with `since`."""
    return VERSIONS.index(version) >= VERSIONS.index(since)


def read_result(value: Any, version: str) -> Result:
    """The result in a decoded JSON `value`; `version` counts when it doesn't say one itself.

    Raises number 6.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise CNIError(Code.UNDECODABLE, "a result must be an object", f"it is {value!r}")
    fields = Fields(value, "result")
    try:
        said = fields.text("cniVersion") or version
        if said in _OLDEST:
            return _oldest_result(fields)
        if said in VERSIONS:
            return _result(fields)
    except CNIError as error:
        raise CNIError(Code.UNDECODABLE, error.msg, error.details) from error
    raise CNIError(Code.UNDECODABLE, f"a result of CNI version {said} cannot be read")


def write_result(result: Result, version: str) -> dict[str, Any]:
    """A result as the JSON object of one of `VERSIONS`; what that version can't say is lost."""
    old = version in _WITH_FAMILY
    written: dict[str, Any] = {"cniVersion": version}
    if result.interfaces:
        written["interfaces"] = [_write_interface(each, old) for each in result.interfaces]
    if result.ips:
        written["ips"] = [_write_ip(each, old) for each in result.ips]
    if result.routes:
        written["routes"] = [_write_route(each) for each in result.routes]
    dns = _said(
        nameservers=list(result.dns.nameservers),
        domain=result.dns.domain,
        search=list(result.dns.search),
        options=list(result.dns.options),
    )
    if dns or old:
        written["dns"] = dns
    return written


def read_error(value: Any) -> CNIError:
    """The error in a plugin's decoded JSON answer; a number not in `Code` stays as it is."""
    if not isinstance(value, dict):
        return CNIError(Code.INTERNAL, "the error is no object", f"it is {value!r}")
    code, msg, details = (value.get(key) for key in ("code", "msg", "details"))
    if not isinstance(code, int) or code <= 0:
        code = Code.INTERNAL
    if code in Code.__members__.values():
        code = Code(code)
    return CNIError(code, str(msg or "no error message"), str(details or ""))


def write_error(error: CNIError, version: str) -> dict[str, Any]:
    """An error as JSON object; empty details are left out."""
    written = {"cniVersion": version, "code": int(error.code), "msg": error.msg}
    return {**written, "details": error.details} if error.details else written


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _result(fields: Fields) -> Result:
    interfaces = tuple(_interface(each) for each in fields.objects("interfaces"))
    return Result(
        interfaces,
        tuple(_ip(each, len(interfaces)) for each in fields.objects("ips")),
        fields.routes("routes"),
        fields.dns("dns"),
    )


def _oldest_result(fields: Fields) -> Result:
    families = [fields.object(key) for key in ("ip4", "ip6") if fields.value(key) is not None]
    return Result(
        ips=tuple(IP(_cidr(each, "ip"), each.address("gateway")) for each in families),
        routes=tuple(route for each in families for route in each.routes("routes")),
        dns=fields.dns("dns"),
    )


def _interface(fields: Fields) -> Interface:
    return Interface(
        name=fields.text("name"),
        mac=fields.text("mac"),
        mtu=fields.number("mtu", high=_MAX),
        sandbox=fields.text("sandbox"),
        socket_path=fields.text("socketPath"),
        pci_id=fields.text("pciID"),
    )


def _ip(fields: Fields, interfaces: int) -> IP:
    index = None if fields.value("interface") is None else fields.number("interface")
    if index is not None and index >= interfaces:
        raise fields.wrong("interface", f"must be the index of one of {interfaces} interfaces")
    return IP(_cidr(fields, "address"), fields.address("gateway"), index)


def _cidr(fields: Fields, key: str) -> Any:
    found = fields.interface(key)
    if found is None or "/" not in fields.text(key):
        raise fields.wrong(key, "must be IP/PREFIX")
    return found


def _write_interface(interface: Interface, old: bool) -> dict[str, Any]:
    written = {"name": interface.name, **_said(mac=interface.mac, sandbox=interface.sandbox)}
    if not old:
        written |= _said(
            mtu=interface.mtu, socketPath=interface.socket_path, pciID=interface.pci_id
        )
    return written


def _write_ip(ip: IP, old: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"version": str(ip.address.version)} if old else {}
    written["address"] = str(ip.address)
    if ip.gateway is not None:
        written["gateway"] = str(ip.gateway)
    if ip.interface is not None:
        written["interface"] = ip.interface
    return written


def _write_route(route: Route) -> dict[str, Any]:
    written: dict[str, Any] = {"dst": str(route.dst)}
    if route.gw is not None:
        written["gw"] = str(route.gw)
    extras: Mapping[str, int | None] = {
        "mtu": route.mtu,
        "advmss": route.advmss,
        "priority": route.priority,
        "table": route.table,
        "scope": route.scope,
    }
    return written | {key: value for key, value in extras.items() if value is not None}


def _said(**values: Any) -> dict[str, Any]:
    """Those that are not empty."""
    return {key: value for key, value in values.items() if value}
