"""What the folder of a registry says: ``hosts.toml`` as containerd reads it, or certificates alone.

Keys that are not known here are left to the containerd that they are for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from yarl import URL

from agent.config.values import duration
from agent.registry.errors import RegistryError
from agent.registry.remote.host import CAPABILITIES, DIAL_TIMEOUT_S, Host, Terms, host_at
from agent.registry.remote.tls import Trust

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class HostsFile:
    """``mirrors`` in order; ``server`` is the registry itself where the file names one, ``terms``
    are its terms."""

    mirrors: tuple[Host, ...] = ()
    server: Host | None = None
    terms: Terms = field(default_factory=Terms)


def read_hosts_file(file: Path) -> HostsFile:
    """Raises OSError, and RegistryError with the place of what is wrong."""
    try:
        said = _File.model_validate(tomllib.loads(file.read_text("utf-8")))
        terms = _terms(said, file.parent)
        return HostsFile(
            mirrors=tuple(
                host_at(_url(address, each), _terms(each, file.parent))
                for address, each in said.host.items()
            ),
            server=host_at(_url(said.server, said), terms) if said.server else None,
            terms=terms,
        )
    except ValidationError as error:
        raise RegistryError(f"{file}: {'; '.join(_faults(error))}") from error
    except ValueError as error:  # that of tomllib and of Unicode too
        raise RegistryError(f"{file}: {error}") from error


def read_certificates(folder: Path) -> HostsFile:
    """Docker's form: ``*.crt`` are trusted; ``*.cert`` and ``*.key`` of the same name are ours.

    Raises OSError and RegistryError.
    """
    names = sorted(path for path in folder.iterdir() if path.is_file())
    clients = [path for path in names if path.suffix == ".cert"]
    pairs = [
        (path, key if (key := path.with_suffix(".key")).exists() else path) for path in clients
    ]
    ca = tuple(path for path in names if path.suffix == ".crt")
    try:
        return HostsFile(terms=Terms(trust=Trust(ca, _only(pairs))))
    except ValueError as error:
        raise RegistryError(f"{folder}: {error}") from error


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    return (
        [_listed(each) for each in listed] if isinstance(listed := _listed(value), list) else value
    )


def _one_or_two(pair: list[str]) -> list[str]:
    if len(pair) not in (1, 2):
        raise ValueError("must be one file, or a certificate and its key")
    return pair


def _known(capability: str) -> str:
    if capability.lower() not in CAPABILITIES:
        raise ValueError("must be pull, resolve, push or referrers")
    return capability.lower()


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("is not the name of a header")
    return name


def _header_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise ValueError("must have no control characters and nothing beyond Latin-1")
    return value


def _seconds(text: object) -> float:
    if not isinstance(text, str) or (seconds := duration(text)) == 0:
        raise ValueError('must be text such as "3s", and more than 0')
    return seconds


Paths = Annotated[list[str], BeforeValidator(_listed)]
Pair = Annotated[list[str], AfterValidator(_one_or_two)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class _Host(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    capabilities: list[Annotated[str, AfterValidator(_known)]] = []
    ca: Paths = []
    client: Annotated[list[Pair], BeforeValidator(_pairs)] = []
    skip_verify: bool = False
    header: dict[HeaderName, Annotated[list[HeaderValue], BeforeValidator(_listed)]] = {}
    override_path: bool = False
    dial_timeout: Annotated[float, BeforeValidator(_seconds)] = DIAL_TIMEOUT_S


class _File(_Host):
    server: str = ""
    host: dict[str, _Host] = {}


def _terms(said: _Host, folder: Path) -> Terms:
    pairs = [(folder / pair[0], folder / pair[-1]) for pair in said.client]
    return Terms(
        capabilities=frozenset(said.capabilities) or CAPABILITIES,
        trust=Trust(
            ca=tuple(folder / path for path in said.ca),
            client=_only(pairs),
            verify=not said.skip_verify,
        ),
        headers=tuple((name, value) for name, values in said.header.items() for value in values),
        dial_timeout_s=said.dial_timeout,
    )


def _only(pairs: list[tuple[Path, Path]]) -> tuple[Path, Path] | None:
    if len(pairs) > 1:
        names = ", ".join(str(certificate) for certificate, _ in pairs)
        raise ValueError(f"client: keep the one certificate to show of {names}")
    return pairs[0] if pairs else None


def _url(address: str, said: _Host) -> URL:
    """The address that repositories' names are put behind. Raises ValueError."""
    wrong = f"{address.rpartition('@')[2]!r} is not an address such as https://host:port"
    try:
        url = URL(address if "://" in address else f"https://{address}")
    except ValueError:
        raise ValueError(wrong) from None
    if url.scheme not in ("http", "https") or not url.host or not url.port:
        raise ValueError(wrong)
    if url.raw_user or url.raw_password or url.raw_query_string or url.raw_fragment:
        raise ValueError(f"host {url.host}: the address must have no login, '?' or '#' in it")
    path = str(PurePosixPath(url.raw_path))
    if not path.endswith("/v2") and not said.override_path:
        path = f"{path.rstrip('/')}/v2"
    return url.with_path(path.rstrip("/"), encoded=True)


def _faults(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        message = each["msg"].removeprefix("Value error, ")
        yield f"{_place(each['loc'])}: {message}"


def _place(location: Iterable[int | str]) -> str:
    """As TOML writes it: ``host."https://mirror".ca[0]``."""
    parts = [
        f"[{step}]"
        if isinstance(step, int)
        else f".{step}"
        if re.fullmatch(r"[A-Za-z0-9_-]+", step)
        else f'."{step}"'
        for step in location
    ]
    return "".join(parts).removeprefix(".")
