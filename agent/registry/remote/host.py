"""A host that serves images, and on what terms we speak with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from yarl import URL

from agent.registry.reference import DEFAULT_REGISTRY, MAX_NAME
from agent.registry.remote.tls import Trust

HUB = "registry-1.docker.io"
"""The host that serves docker.io."""

DIAL_TIMEOUT_S = 30.0

CAPABILITIES = frozenset({"pull", "resolve", "push", "referrers"})
PULL = frozenset({"pull"})
RESOLVE = frozenset({"pull", "resolve"})
"""What it takes to give what a digest names, and to say what a tag means."""


@dataclass(frozen=True, slots=True)
class Terms:
    """``capabilities``: what the host may be asked for. ``headers`` go along with each request to
    it, and to no other."""

    capabilities: frozenset[str] = CAPABILITIES
    trust: Trust = field(default_factory=Trust)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    dial_timeout_s: float = DIAL_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Host:
    """``name`` is what logins know the host by; the repositories are below ``url``. ``mirror_of``:
    the registry in whose place it is asked. ``plan_b``: it is asked only if no connection to the
    host before it could be made."""

    name: str
    url: URL
    terms: Terms = field(default_factory=Terms)
    mirror_of: str | None = None
    plan_b: bool = False


def host_at(url: URL, terms: Terms) -> Host:
    """The host at an address whose path ends where repositories begin."""
    if url.host == DEFAULT_REGISTRY:
        url = url.with_host(HUB)
    return Host(name_of(url), url, terms)


def name_of(url: URL) -> str:
    """Host and port as a reference writes them, the port only where the URL has one."""
    if url.host == HUB:
        return DEFAULT_REGISTRY
    port = f":{url.explicit_port}" if url.explicit_port else ""
    return f"{(url.host_subcomponent or '')[:MAX_NAME]}{port}"
