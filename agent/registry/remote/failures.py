"""How talking to a server fails, as our errors: what may pass, and what to mend."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.remote.host import name_of

_AT_ANOTHER_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and ..._HAS_EXPIRED: no other authority will help."""
_OF_ANOTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and ..._IP_ADDRESS_MISMATCH."""


class NoConnection(RegistryUnavailable):
    """Nobody could be asked anything."""


class NoTls(RegistryError):
    """Who answers doesn't speak TLS with us."""


@contextmanager
def failures(url: URL, stall_s: float) -> Iterator[None]:
    """Says as RegistryError and RegistryUnavailable how talking to ``url`` fails."""
    place = name_of(url)
    try:
        yield
    # From none of them: aiohttp's errors quote whole URLs, and in their queries is what signs them.
    except aiohttp.ClientError as error:
        raise _meaning(error, place, stall_s) from None
    except ssl.SSLError as error:
        raise _tls_failure(error, place) from None
    except UnicodeError:  # getaddrinfo, of labels that can't be in DNS
        raise RegistryError(f"{place}: can't be the name of a host") from None
    except OSError as error:
        raise RegistryUnavailable(f"{place}: {_why(error)}") from None


def _meaning(error: aiohttp.ClientError, place: str, stall_s: float) -> RegistryError:
    match error:
        case aiohttp.ClientHttpProxyError():
            return _refused_by_proxy(error, place)
        case aiohttp.ClientSSLError():
            return _tls_failure(error.os_error, place)
        case aiohttp.ClientConnectorError():
            return _no_connection(error, place)
        case aiohttp.ConnectionTimeoutError():
            return NoConnection(f"{place}: no connection in time")
        case aiohttp.ServerTimeoutError():
            return RegistryUnavailable(f"{place}: nothing came for {stall_s:g} s")
        case aiohttp.ClientOSError():
            cause = error.__cause__ or error.__context__
            if isinstance(cause, ssl.SSLError):
                return _tls_failure(cause, place)
            return RegistryUnavailable(f"{place}: the connection broke: {_why(error)}")
        case aiohttp.InvalidURL():
            return RegistryError(f"{place}: not an address that can be asked")
        case aiohttp.ClientResponseError():
            return RegistryUnavailable(
                f"{place}: the answer is no proper HTTP: it may speak TLS where that was not"
                " expected, or be no registry"
            )
        case _:
            return RegistryUnavailable(f"{place}: the connection broke")


def _no_connection(error: aiohttp.ClientConnectorError, place: str) -> NoConnection:
    why = _why(error)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return NoConnection(f"{place}: the proxy {error.host} can't be reached: {why}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NoConnection(f"{place}: the name can't be resolved: {why}")
    return NoConnection(f"{place}: can't be reached: {why}")


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError, place: str) -> RegistryError:
    if error.status == 407:
        return RegistryError(
            f"{place}: the proxy wants a login (407): put it into the proxy's URL in the"
            " environment"
        )
    return RegistryUnavailable(f"{place}: the proxy lets us not through ({error.status})")


def _tls_failure(error: OSError, place: str) -> RegistryError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(error, place)
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "EOF" in reason:
        return NoConnection(f"{place}: the connection broke while TLS was being agreed on")
    if any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")):
        return RegistryError(
            f"{place}: TLS fails ({_words(reason)}): if it wants a certificate of ours, put that as"
            " client.cert and client.key into the registry's folder in certs.d, or name them as"
            " client in the hosts.toml there"
        )
    return NoTls(f"{place}: TLS fails ({_words(reason)}): https may be the wrong way to reach it")


def _untrusted(error: ssl.SSLCertVerificationError, place: str) -> RegistryError:
    why = error.verify_message.rstrip(".")
    if error.verify_code in _AT_ANOTHER_TIME:
        return RegistryError(
            f"{place}: its certificate is not valid now ({why}): it must be renewed there, unless"
            " this host's clock is wrong"
        )
    if error.verify_code in _OF_ANOTHER_NAME:
        return RegistryError(
            f"{place}: its certificate is for another name ({why}): use a name that is in it, or"
            " give the registry a certificate with this one"
        )
    return RegistryError(
        f"{place}: its certificate is not trusted ({why}): put that of the"
        " authority that signed it as ca.crt into the registry's folder in certs.d, or name it as"
        " ca in the hosts.toml there"
    )


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower() or "no reason given"


def _why(error: OSError) -> str:
    inner = getattr(error, "os_error", error)
    if inner.errno and inner.errno > 0:
        return os.strerror(inner.errno)  # asyncio puts addresses into the text of its own
    return inner.strerror or type(inner).__name__
