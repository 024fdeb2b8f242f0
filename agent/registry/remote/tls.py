"""Whom to trust, and with what certificate we show who we are: from files to TLS contexts."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from agent.registry.errors import RegistryError

_Marks = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """``ca``: certificates that are trusted besides those of the system (PEM). ``client``: our
    certificate and its key, which may be the same file. ``verify``: whether the server must show
    a certificate that is valid for its name."""

    ca: tuple[Path, ...] = ()
    client: tuple[Path, Path] | None = None
    verify: bool = True


class Contexts:
    """TLS contexts, made again when a file they were made from has changed.

    The same context for the same files: connections are shared only between requests with the
    same one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[Trust, tuple[_Marks, ssl.SSLContext]] = {}

    async def of(self, trust: Trust) -> ssl.SSLContext:
        """The context for connections that are trusted like that. Raises RegistryError."""
        return await asyncio.to_thread(self._of, trust)

    def _of(self, trust: Trust) -> ssl.SSLContext:
        marks = tuple(_mark(path) for path in (*trust.ca, *(trust.client or ()), *_system()))
        with self._lock:
            known = self._made.get(trust)
            if known is None or known[0] != marks:
                known = self._made[trust] = marks, _made_from(trust)
            return known[1]


def _system() -> tuple[Path, ...]:
    paths = ssl.get_default_verify_paths()
    return tuple(Path(path) for path in (paths.cafile, paths.capath) if path)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What differs when the file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _made_from(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    for path in trust.ca:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise RegistryError(f"{path}: holds no certificate in PEM form") from error
        except OSError as error:
            raise RegistryError(f"{path}: can't be read: {error.strerror}") from error
    if trust.client:
        _load_client(context, *trust.client)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_client(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise RegistryError(
            f"{certificate}: no certificate with the matching key, in PEM form and not encrypted,"
            f" is in it and {key}"
        ) from error
    except OSError as error:
        name = certificate if not certificate.exists() else key
        raise RegistryError(f"{name}: can't be read: {error.strerror}") from error
