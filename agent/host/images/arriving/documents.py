"""From what a reference means to the manifest for one platform, wherever the bytes come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError
from agent.registry.manifest import MAX_DEPTH, Manifest, Platform, choose, parse

Read = Callable[[Descriptor], Awaitable[bytes]]
"""Gives the bytes of a manifest or index."""


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or an index as it came."""

    descriptor: Descriptor
    data: bytes


@dataclass(frozen=True, slots=True)
class Documents:
    """``path``: the documents from the one that was asked for to that of ``manifest``."""

    path: tuple[Document, ...]
    manifest: Manifest


async def find(target: Descriptor, platform: Platform, read: Read) -> Documents:
    """The manifest behind ``target`` that runs best on ``platform``.

    Raises RegistryError if there is none, or if a document makes no sense; and what ``read`` does.
    """
    path: list[Document] = []
    descriptor = target
    while len(path) <= MAX_DEPTH:
        document = Document(descriptor, await read(descriptor))
        path.append(document)
        try:
            found = parse(document.data, descriptor)
            if isinstance(found, Manifest):
                return Documents(tuple(path), found)
            descriptor = choose(found, platform)
        except RegistryError as error:
            raise RegistryError(f"{descriptor.digest}: {error}") from error
    raise RegistryError(f"{target.digest}: more than {MAX_DEPTH} indexes within each other")
