"""Manifests and indexes as a host gives them."""

from __future__ import annotations

import hashlib
import json
import re

import aiohttp

from agent.registry.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor
from agent.registry.errors import RegistryError
from agent.registry.reference import Reference
from agent.registry.remote.answers import whole
from agent.registry.remote.caller import Caller
from agent.registry.remote.host import name_of

MAX_MANIFEST = 4 * 1024 * 1024
"""What the distribution specification asks registries to take, and so what they have."""

_KINDS = (INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_ASK_AGAIN = (400, 403, 404, 405, 501)
"""Answers to HEAD after which GET may do better, or at least says why not."""

_HEADERS = {"Accept": ", ".join(_KINDS)}


async def resolve(caller: Caller, reference: Reference) -> Descriptor:
    """What a reference stands for, at one host. Raises RegistryError and RegistryUnavailable."""
    path = f"manifests/{reference.digest or reference.tag}"
    async with await caller.open("HEAD", path, _HEADERS, (200, *_ASK_AGAIN)) as response:
        found = _told(response, reference) if response.status == 200 else None
    if found:
        return found
    async with await caller.open("GET", path, _HEADERS) as response:
        body = await whole(response, MAX_MANIFEST, caller.stall_s)
        return _looked_at(response, body, reference)


async def get_manifest(caller: Caller, descriptor: Descriptor) -> bytes:
    """The bytes behind a descriptor, at one host. Raises RegistryError and RegistryUnavailable."""
    if descriptor.size > MAX_MANIFEST:
        raise RegistryError(
            f"{descriptor.digest}: a manifest of {descriptor.size} bytes is more than the"
            f" {MAX_MANIFEST} that it may have"
        )
    async with await caller.open("GET", f"manifests/{descriptor.digest}", _HEADERS) as response:
        place = name_of(response.url)
        body = await whole(response, descriptor.size, caller.stall_s)
    if len(body) != descriptor.size:
        raise RegistryError(
            f"{place}: {descriptor.digest} has {len(body)} bytes instead of {descriptor.size}"
        )
    _check(body, descriptor.digest, place)
    return body


def _told(response: aiohttp.ClientResponse, reference: Reference) -> Descriptor | None:
    """What the headers say of the manifest; None if that is not all."""
    place = name_of(response.url)
    digest = _digest(response) or reference.digest
    kind, size = response.content_type, response.content_length
    if response.headers.get("Content-Encoding"):
        size = None  # that of something else
    _refuse_schema_1(kind, reference)
    if reference.digest not in (None, digest):
        raise RegistryError(f"{place}: asked for {reference.digest} it has {digest}")
    if digest is None or not size or kind not in _KINDS:
        return None
    return Descriptor(kind, digest, size)


def _looked_at(response: aiohttp.ClientResponse, body: bytes, reference: Reference) -> Descriptor:
    kind = response.content_type
    _refuse_schema_1(kind, reference)
    if kind not in _KINDS:
        kind = _kind_of(body, reference, name_of(response.url))
    told = reference.digest or _digest(response)
    if told:
        _check(body, told, name_of(response.url))
    return Descriptor(kind, told or f"sha256:{hashlib.sha256(body).hexdigest()}", len(body))


def _digest(response: aiohttp.ClientResponse) -> str | None:
    told = response.headers.get("Docker-Content-Digest", "")
    return told if _DIGEST.fullmatch(told) else None


def _check(body: bytes, digest: str, place: str) -> None:
    algorithm = digest.partition(":")[0]
    found = f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
    if found != digest:
        raise RegistryError(f"{place}: the content is {found} instead of {digest}")


def _kind_of(body: bytes, reference: Reference, place: str) -> str:
    """The media type of a manifest that came with none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"mediaType": str(kind)} if kind in _KINDS:
            return kind
        case {"schemaVersion": 1}:
            _refuse_schema_1(_SCHEMA_1, reference)
        case {"schemaVersion": 2, "manifests": list()}:
            return INDEX
        case {"schemaVersion": 2, "config": dict(), "layers": list()}:
            return MANIFEST
        case _:
            pass
    raise RegistryError(f"{place}: {reference} is no image: neither a manifest nor an index")


def _refuse_schema_1(kind: str, reference: Reference) -> None:
    if kind.startswith(_SCHEMA_1):
        raise RegistryError(
            f"{reference} is in Docker's schema 1 of 2014, which is not supported:"
            " push it again with a newer tool"
        )
