"""Reading a plugin's configuration: one JSON object, key by key, wrong ones named.

Each plugin has a `parse(fields)` that takes what it knows from a `Fields` and gives its own frozen
dataclass. Unknown keys are left alone: other plugins' and newer versions' keys stand there too.
Written by hand rather than with a library because an executable plugin must be quick to start.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, TypeVar

from cni.errors import CNIError, Code
from cni.spec import DNS, Route

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object; `where` is its place in the configuration, for messages ("" is the top)."""

    values: Mapping[str, Any]
    where: str = ""

    def path(self, key: str) -> str:
        """The place of a key, such as `ipam.ranges[0][1].subnet`."""
        return f"{self.where}.{key}" if self.where else key

    def value(self, key: str) -> Any:
        """What stands at a key, or None. A key that differs in case only is meant too.

        So it is to programs in Go, as container runtimes and the reference plugins are, and some
        of them write `HostPort` for `hostPort`.
        """
        if key in self.values:
            return self.values[key]
        folded = key.lower()
        return next((found for each, found in self.values.items() if each.lower() == folded), None)

    def wrong(self, key: str, must: str) -> CNIError:
        """The error for a key whose value can't be; `must` says what it has to be."""
        return CNIError(
            Code.INVALID_CONFIG, f"{self.path(key)} {must}", f"it is {self.value(key)!r}"
        )

    def text(self, key: str, default: str = "") -> str:
        """A string; absent or null is `default`."""
        return self._typed(key, str, "must be a string", default)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean, also written as "true" or "false" in any case, as libcni takes it."""
        value = self.value(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return self._typed(key, bool, "must be true or false", default)

    def number(self, key: str, default: int = 0, low: int = 0, high: int = 2**32 - 1) -> int:
        """A whole number from `low` to `high`; absent or null is `default`."""
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}")
        return value

    def object(self, key: str) -> "Fields":
        """An object; absent or null is an empty one."""
        return Fields(self._typed(key, dict, "must be an object", {}), self.path(key))

    def objects(self, key: str) -> Iterator["Fields"]:
        """The objects of a list; absent or null is an empty one."""
        for index, value in enumerate(self.list(key)):
            if not isinstance(value, dict):
                raise self.wrong(key, "must be a list of objects")
            yield Fields(value, f"{self.path(key)}[{index}]")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; absent or null is an empty one."""
        found = self.list(key)
        if not all(isinstance(each, str) for each in found):
            raise self.wrong(key, "must be a list of strings")
        return tuple(found)

    def list(self, key: str) -> list[Any]:
        """A list of anything; absent or null is an empty one."""
        return self._typed(key, list, "must be a list", [])

    def parsed(self, key: str, parse: Callable[[str], _T], must: str) -> _T | None:
        """The string, put through `parse`, which raises ValueError; "", absent or null is None."""
        text = self.text(key)
        try:
            return parse(text) if text else None
        except ValueError as error:
            raise self.wrong(key, must) from error

    def address(self, key: str) -> Any:
        """An IPv4Address or IPv6Address, or None."""
        return self.parsed(key, lambda text: ip_address(_unscoped(text)), "must be an IP address")

    def network(self, key: str) -> Any:
        """An IPv4Network or IPv6Network without host bits, or None."""
        return self.parsed(
            key, lambda text: ip_network(_unscoped(text)), "must be a network such as 10.1.0.0/16"
        )

    def interface(self, key: str) -> Any:
        """An IPv4Interface or IPv6Interface, or None."""
        return self.parsed(
            key,
            lambda text: ip_interface(_unscoped(text)),
            "must be an address with its prefix length",
        )

    def routes(self, key: str) -> tuple[Route, ...]:
        """Routes, in the form that results have; host bits of a destination mean nothing."""
        return tuple(each._route() for each in self.objects(key))

    def dns(self, key: str) -> DNS:
        """Resolver settings, in the form that results have."""
        found = self.object(key)
        return DNS(
            nameservers=found.texts("nameservers"),
            domain=found.text("domain"),
            search=found.texts("search"),
            options=found.texts("options"),
        )

    def _route(self) -> Route:
        dst = self.parsed("dst", partial(ip_network, strict=False), "must be like 10.1.0.0/16")
        if dst is None:
            raise self.wrong("dst", "must be given")
        scope = self._number_or_none("scope", 255)
        extras = {key: self._number_or_none(key) for key in ("mtu", "advmss", "priority", "table")}
        return Route(dst, self.address("gw"), scope=scope, **extras)

    def _number_or_none(self, key: str, high: int = 2**32 - 1) -> int | None:
        return None if self.value(key) is None else self.number(key, high=high)

    def _typed(self, key: str, kind: type[_T], must: str, default: _T) -> _T:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.wrong(key, must)
        return value


def _unscoped(text: str) -> str:
    if "%" in text:
        raise ValueError(f"{text} has a zone, which means nothing elsewhere")
    return text
