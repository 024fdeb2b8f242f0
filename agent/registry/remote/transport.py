"""One HTTP request and its redirects, with nothing secret sent to where it doesn't belong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agent.registry.errors import RegistryError
from agent.registry.remote.failures import failures
from agent.registry.remote.host import Host, name_of
from agent.registry.remote.proxies import Proxies
from agent.registry.remote.tls import Contexts

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ENCODED = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` follow redirects; ``private`` ones (a login, what the administrator set) go to
    the origin of ``url`` alone. With a ``form`` it is a POST, which is not redirected."""

    url: URL
    host: Host
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    private: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)


class Transport:
    """Sends requests over one session, which stays the caller's."""

    def __init__(self, session: aiohttp.ClientSession, proxies: Proxies, stall_s: float) -> None:
        self._session = session
        self._proxies = proxies
        self._contexts = Contexts()
        self.stall_s = stall_s

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        """The answer after all redirects, its body not yet read; the caller closes it.

        Raises RegistryError and RegistryUnavailable, also for redirects that must not be followed.
        """
        step = request
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._once(step)
            if response.status not in _REDIRECTS or step.form is not None:
                return response
            response.release()
            step = _redirected(step, response.headers.get("Location"))
        raise RegistryError(f"{name_of(request.url)}: more than {MAX_REDIRECTS} redirects")

    async def _once(self, request: Request) -> aiohttp.ClientResponse:
        url, terms = request.url, request.host.terms
        trust = terms.trust
        if url.host != request.host.url.host:
            trust = replace(trust, client=None)
        context = await self._contexts.of(trust) if url.scheme == "https" else True
        with failures(url, self.stall_s):
            return await self._session.request(
                request.method,
                url,
                headers=CIMultiDict([*request.headers.items(), *request.private]),
                data=request.form,
                allow_redirects=False,
                ssl=context,
                proxy=self._proxies.of(url),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=terms.dial_timeout_s, sock_read=self.stall_s
                ),
            )


def url_from(text: str, base: URL | None = None) -> URL:
    """The URL in a server's header, with nothing changed in it if it is one: a signature may cover
    it. Raises ValueError, also where its host or port can't be read or shown."""
    try:
        url = URL(text, encoded=bool(_ENCODED.fullmatch(text)))
        url = base.join(url) if base else url
        _ = url.host, url.port
    except IndexError:  # what yarl makes of some that are none
        raise ValueError("not a URL") from None
    if not _ENCODED.fullmatch(url.raw_host or "-"):
        raise ValueError("not the name of a host")
    return url


def _redirected(step: Request, location: str | None) -> Request:
    """Raises RegistryError. The texts leave out the query: what signs a URL is in it."""
    place = name_of(step.url)
    if not location:
        raise RegistryError(f"{place}: a redirect that doesn't say where to")
    try:
        target = url_from(location, step.url)
    except ValueError:
        raise RegistryError(f"{place}: a redirect to something that is no URL") from None
    if target.scheme not in ("http", "https") or not target.host or not target.port:
        raise RegistryError(f"{place}: a redirect to something that is no http or https URL")
    if step.url.scheme == "https" and target.scheme == "http":
        raise RegistryError(
            f"{place}: a redirect from https to http://{name_of(target)}, which is not followed"
        )
    if target.raw_user or target.raw_password:
        target = target.with_user(None)
    stays = target.origin() == step.url.origin()
    return replace(step, url=target, private=step.private if stays else ())
