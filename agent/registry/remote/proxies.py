"""Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as Go reads them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.remote.loopback import is_loopback


class Proxies:
    """The proxies that an environment names, in capital or small letters."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def of(self, url: URL) -> URL | None:
        """The proxy on the way to an http or https URL, with its login if it has one.

        Raises RegistryError if what the environment says is no proxy's address.
        """
        name = f"{url.scheme.upper()}_PROXY"
        said = self._said(name)
        host = (url.host or "").rstrip(".").lower()
        if not said or is_loopback(host):
            return None
        exceptions = self._said("NO_PROXY").lower().split(",")
        if any(_excepts(each.strip(), host, url.port or 0) for each in exceptions):
            return None
        return _address(name, said)

    def _said(self, name: str) -> str:
        return self._environ.get(name) or self._environ.get(name.lower()) or ""


def _address(name: str, said: str) -> URL:
    try:
        proxy = URL(said if "://" in said else f"http://{said}")
        if proxy.scheme in ("http", "https") and proxy.host and proxy.port:
            return proxy.with_path("/")
    except ValueError:
        pass
    # The text may hold a password.
    raise RegistryError(f"{name} in the environment must be like http://proxy:3128")


def _excepts(pattern: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY speaks of ``host``: ``*``, an address or a network of them, a
    name with all below it, or ``.name`` (``*.name``) for what is below alone; all but networks
    with a port, if they like."""
    if not pattern or pattern == "*":
        return bool(pattern)
    if "/" in pattern:
        return _within(pattern, host)
    name, colon, number = pattern.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        pattern = name
    pattern = pattern.strip("[]").removeprefix("*")
    if pattern.startswith("."):
        return host.endswith(pattern)
    return host == pattern or (not _is_address(host) and host.endswith(f".{pattern}"))


def _within(network: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
