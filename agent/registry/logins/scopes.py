"""Which login of many belongs to a registry: people write the names of registries in many ways.

``https://index.docker.io/v1/``, ``docker.io``, ``host:5000``, ``https://host/v2/``, ``host/team``:
all are a *scope*, a host with or without the beginning of a repository's path. Pure.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

from agent.registry.reference import DEFAULT_REGISTRY

_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})
"""Other hosts of docker.io, which get its logins."""
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_API = re.compile(r"/v[12]/?")

_T = TypeVar("_T")


def scope(text: str) -> str:
    """The scope that ``text`` means: no scheme, no path of an API, docker.io by that name."""
    rest = _SCHEME.sub("", text.strip(), count=1)
    host, slash, path = rest.partition("/")
    # Without scheme and last slash it is the name of a repository.
    if _API.fullmatch(slash + path) and (rest != text.strip() or path.endswith("/")):
        path = ""
    return f"{_canonical(host)}/{path}".rstrip("/")


def best(scoped: Iterable[tuple[str, _T]], host: str, repository: str) -> _T | None:
    """What has the longest scope that ``host/repository`` is in, the first of equals; or None."""
    wanted = f"{_canonical(host)}/{repository}/"
    found = [(scope, each) for scope, each in scoped if scope and wanted.startswith(f"{scope}/")]
    return max(found, key=lambda each: len(each[0]))[1] if found else None


def _canonical(host: str) -> str:
    lower = host.lower()
    return DEFAULT_REGISTRY if lower in _ALIASES else lower
