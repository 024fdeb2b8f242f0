"""Which hosts serve a registry's images: mirrors in the administrator's order, then itself.

The folders are containerd's ``certs.d``: one for each registry, ``_default`` for all others. They
are read each time, so that a change counts from the next request on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.reference import DEFAULT_REGISTRY
from agent.registry.remote.host import HUB, RESOLVE, Host, Terms
from agent.registry.remote.hostsfile import HostsFile, read_certificates, read_hosts_file
from agent.registry.remote.loopback import is_loopback


def hosts_for(
    registry: str, folders: Collection[Path], insecure: Collection[str]
) -> tuple[Host, ...]:
    """The hosts to ask for images of ``registry``, in order. Blocking.

    A folder of the registry's own beats ``_default``, wherever they are; else the first of
    ``folders`` does. Raises RegistryError that names the file and what is wrong with it.
    """
    try:
        found = _said_in(_folder(registry, folders))
    except OSError as error:
        raise RegistryError(f"{error.filename}: can't be read: {error.strerror}") from error
    itself = (found.server,) if found.server else _itself(registry, found.terms, insecure)
    asked = {each.url for each in found.mirrors if each.terms.capabilities >= RESOLVE}
    # Many name the registry as its own mirror, for the terms that they write there.
    last = (each for each in itself if each.url not in asked)
    return tuple(_asked_for(registry, host) for host in (*found.mirrors, *last))


def _folder(registry: str, folders: Collection[Path]) -> Path | None:
    name, colon, port = registry.rpartition(":")
    own = (f"{name}_{port}_", registry) if colon else (registry,)
    for names in (own, ("_default",)):
        for folder in folders:
            for each in names:
                if (folder / each).is_dir():
                    return folder / each
    return None


def _said_in(folder: Path | None) -> HostsFile:
    if folder is None:
        return HostsFile()
    file = folder / "hosts.toml"
    if file.is_file() and file.stat().st_size:
        return read_hosts_file(file)
    return read_certificates(folder)


def _itself(registry: str, terms: Terms, insecure: Collection[str]) -> Iterator[Host]:
    """The registry where no file says how it is reached: https, but for this machine and for
    those that the settings call insecure."""
    if registry == DEFAULT_REGISTRY:
        yield Host(registry, URL(f"https://{HUB}/v2"), terms)
        return
    plain, secure = URL(f"http://{registry}/v2"), URL(f"https://{registry}/v2")
    if registry in insecure:
        unverified = replace(terms, trust=replace(terms.trust, verify=False))
        yield Host(registry, secure, unverified)
        yield Host(registry, plain, terms, plan_b=True)
    elif is_loopback(plain.host or "") and terms.trust == Terms().trust:
        yield Host(registry, plain, terms)
    else:
        yield Host(registry, secure, terms)
        if is_loopback(plain.host or "") and not terms.trust.verify:  # it may be said for all
            yield Host(registry, plain, terms, plan_b=True)


def _asked_for(registry: str, host: Host) -> Host:
    return host if host.name.lower() == registry.lower() else replace(host, mirror_of=registry)
