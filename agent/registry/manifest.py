"""Manifests and indexes: what an image consists of, and which image of several a machine runs.

Strict, since they come from strangers: a document that can be understood in two ways is refused.
Of Docker's formats the second schema is read, and its list.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.registry.descriptor import (
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    descriptor_from,
)
from agent.registry.errors import RegistryError
from agent.registry.platform import Platform, host_platform, platform_from

__all__ = ["Entry", "Index", "Manifest", "Platform", "choose", "host_platform", "parse"]

MAX_DOCUMENT = 4 * 1024 * 1024
"""Bytes of a manifest, index or configuration: what registries accept."""
MAX_PARTS = 50_000
"""Objects and lists in a document; each takes more memory than the bytes that it is written in."""
MAX_LAYERS = 127
"""As many as Docker stacks."""
MAX_ENTRIES = 1000
"""Images in an index."""
MAX_DEPTH = 2
"""Indexes on the way from a name to a manifest."""
MAX_IMAGE = 4 * 1024**4
"""Bytes of all layers as they are stored."""

MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)

_SCHEMA_1 = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
)
_CONFIGS = {
    MANIFEST: {CONFIG, DOCKER_CONFIG},
    # Docker's own pushes once gave the latter three, and Docker still pulls them.
    DOCKER_MANIFEST: {
        DOCKER_CONFIG,
        CONFIG,
        "application/octet-stream",
        "application/json",
        "text/html",
    },
}
_LAYERS = {
    **{name: name for name in (LAYER, LAYER_GZIP, LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP)},
    DOCKER_LAYER_ZSTD: LAYER_ZSTD,  # containerd knows Docker's name only from 2.0 on
}
_ELSEWHERE = ("nondistributable", ".foreign.")
_ATTESTATION = "vnd.docker.reference.type"
_TOLD_PLATFORMS = 20
_TOLD_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image for one platform, its lowest layer first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest or another index, and what it is for."""

    descriptor: Descriptor
    platform: Platform | None
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Index:
    """Several images, usually the same for several platforms."""

    entries: tuple[Entry, ...]


def parse(data: bytes, descriptor: Descriptor) -> Manifest | Index:
    """What ``descriptor`` stands for, from its bytes. Size and digest are the caller's to check.

    Raises ``RegistryError`` for anything but an image or several of them; the text does not say of
    which image it speaks, nor does that of ``choose``.
    """
    try:
        return _parse(data, descriptor.media_type)
    except ValueError as error:
        raise RegistryError(str(error)) from error


def choose(index: Index, platform: Platform) -> Descriptor:
    """The entry that runs best on ``platform``: a manifest, or another index to choose from.

    One that does not say what it is for comes last. Raises ``RegistryError`` if there is none; the
    text lists the platforms there are.
    """
    entries = [entry for entry in index.entries if _is_image(entry)]
    for mine in platform.runs():
        for entry in entries:
            if entry.platform is not None and entry.platform.normal() == mine:
                return entry.descriptor
    for entry in entries:
        if entry.platform is None:
            return entry.descriptor
    known = sorted({str(entry.platform) for entry in entries})
    told = ", ".join(known[:_TOLD_PLATFORMS]) or "none"
    more = f" and {len(known) - _TOLD_PLATFORMS} more" if len(known) > _TOLD_PLATFORMS else ""
    raise RegistryError(f"no image for {platform} in the index; there are: {told}{more}")


def _is_image(entry: Entry) -> bool:
    """Attestations, such as BuildKit adds, are for a platform that nobody knows."""
    if entry.descriptor.media_type not in (*MANIFESTS, *INDEXES):
        return False
    unknown = entry.platform is not None and "unknown" in (
        entry.platform.os,
        entry.platform.architecture,
    )
    return not unknown and _ATTESTATION not in entry.annotations


def _parse(data: bytes, media_type: str) -> Manifest | Index:
    if media_type in _SCHEMA_1:
        raise ValueError(
            "a Docker manifest of schema 1, which is obsolete: push the image again with a"
            " current tool"
        )
    if media_type not in (*MANIFESTS, *INDEXES):
        raise ValueError(f"{_told(media_type)} is neither an image manifest nor an index")
    document = _object(data)
    version = document.get("schemaVersion", 2)
    if version != 2:
        raise ValueError(f"a manifest of schema {_told(version)} instead of 2")
    said = document.get("mediaType") or media_type
    if said != media_type:
        raise ValueError(f"it says that it is {_told(said)}, but came as {_told(media_type)}")
    return _index(document) if media_type in INDEXES else _manifest(document, media_type)


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT:
        raise ValueError(f"more than {MAX_DOCUMENT} bytes, too many for a manifest")
    if data.count(b"{") + data.count(b"[") > MAX_PARTS:
        raise ValueError(f"more than {MAX_PARTS} objects and lists, too many for a manifest")
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the caller's one kind of error
    return document


def _manifest(document: dict[str, Any], media_type: str) -> Manifest:
    _refuse(document, "manifests", "fsLayers", what="a manifest")
    config = descriptor_from(document.get("config"))
    if config.media_type not in _CONFIGS[media_type]:
        raise ValueError(f"not a container image, but {_told(config.media_type)}")
    if config.size > MAX_DOCUMENT:
        raise ValueError(f"a configuration of {config.size} bytes; {MAX_DOCUMENT} are allowed")
    layers = tuple(map(_layer, _list(document, "layers", MAX_LAYERS, "as many as Docker stacks")))
    if not layers:
        raise ValueError("an image without layers")
    if sum(layer.size for layer in layers) > MAX_IMAGE:
        raise ValueError(f"layers of more than {MAX_IMAGE} bytes in all")
    return Manifest(config, layers)


def _layer(document: object) -> Descriptor:
    layer = descriptor_from(document)
    if layer.media_type in _LAYERS:
        return replace(layer, media_type=_LAYERS[layer.media_type])
    if any(word in layer.media_type for word in _ELSEWHERE):
        raise ValueError(
            f"layer {layer.digest} is {_told(layer.media_type)}: such layers are not in the"
            " registry but at addresses of their own (urls), which are not followed"
        )
    raise ValueError(
        f"not a container image: layer {layer.digest} is {_told(layer.media_type)};"
        " tar, tar+gzip and tar+zstd can be unpacked"
    )


def _index(document: dict[str, Any]) -> Index:
    _refuse(document, "config", "layers", "fsLayers", what="an index")
    return Index(tuple(map(_entry, _list(document, "manifests", MAX_ENTRIES, "in an index"))))


def _entry(document: object) -> Entry:
    descriptor = descriptor_from(document)
    assert isinstance(document, dict)
    annotations = document.get("annotations")
    if annotations is None:
        annotations = {}
    if not isinstance(annotations, dict) or not all(
        isinstance(value, str) for value in annotations.values()
    ):
        raise ValueError(f"{descriptor.digest}: annotations that are not text")
    platform = document.get("platform")
    return Entry(descriptor, None if platform is None else platform_from(platform), annotations)


def _refuse(document: dict[str, Any], *keys: str, what: str) -> None:
    """A document that is a manifest to one reader and an index to another is a trick."""
    for key in keys:
        if document.get(key):
            raise ValueError(f"{what} with {key!r}: one document, two meanings")


def _list(document: dict[str, Any], key: str, most: int, why: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise ValueError(f"no list {key!r}")  # noqa: TRY004 - the caller's one kind of error
    if len(value) > most:
        raise ValueError(f"{len(value)} {key}; {most} are allowed, {why}")
    return value


def _told(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _TOLD_CHARACTERS else f"{text[:_TOLD_CHARACTERS]}..."
