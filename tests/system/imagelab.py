"""Images for tests: manifests, indexes and configs around layers of ``layerlab``.

A ``Built`` is plain data. Hostile ones come from honest ones: ``changed`` rewrites the document at
the root, ``nested`` and ``document`` make what no builder would. docker-registry refuses many of
these; ``lyingregistry`` serves any.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.registry import hello
from agent.registry.descriptor import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Descriptor,
)
from tests.system.layerlab import Blob, Layer, digest_of

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
IN_TOTO = "application/vnd.in-toto+json"

Json = dict[str, Any]
Platform = Mapping[str, str]

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
HERE: Platform = {"os": "linux", "architecture": MACHINE}
UNKNOWN: Platform = {"os": "unknown", "architecture": "unknown"}


@dataclass(frozen=True, slots=True)
class Built:
    """What a registry has to have. ``root`` is what a tag names, in ``blobs`` as all else.

    ``manifests`` are those that the root refers to, each after what it refers to itself. A single
    image has ``config``, and ``layers`` from the lowest up with ``diff_ids``.
    """

    root: Descriptor
    blobs: Mapping[str, bytes]
    manifests: tuple[Descriptor, ...] = ()
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[str, ...] = ()

    @property
    def others(self) -> dict[str, bytes]:
        """Blobs that are no manifests, by digest."""
        named = {self.root.digest, *(each.digest for each in self.manifests)}
        return {digest: data for digest, data in self.blobs.items() if digest not in named}

    @property
    def chain_id(self) -> str:
        """The name of the snapshot of all layers (OCI image specification, ChainID)."""
        chain = self.diff_ids[0]
        for each in self.diff_ids[1:]:
            chain = f"sha256:{hashlib.sha256(f'{chain} {each}'.encode()).hexdigest()}"
        return chain

    @property
    def document(self) -> Json:
        """The manifest or index at the root."""
        found: Json = json.loads(self.blobs[self.root.digest])
        return found


@dataclass(frozen=True, slots=True)
class Described:
    """How an image is described around its layers. ``config``: more of the config's ``config``.

    ``diff_ids``: others than the true ones.
    """

    docker: bool = False
    platform: Platform = field(default_factory=lambda: HERE)
    config: Mapping[str, Any] = field(default_factory=dict)
    diff_ids: tuple[str, ...] | None = None


def image(*layers: Layer | Blob, described: Described | None = None) -> Built:
    """An image of these layers, the lowest first."""
    how = described or Described()
    made = [each.blob() if isinstance(each, Layer) else each for each in layers]
    diff_ids = tuple(each.diff_id for each in made)
    told = {
        "created": "1970-01-01T00:00:00Z",
        **how.platform,
        "config": {"Env": [f"PATH={hello.PATH}"], "Cmd": ["sh"], **how.config},
        "rootfs": {
            "type": "layers",
            "diff_ids": list(diff_ids if how.diff_ids is None else how.diff_ids),
        },
    }
    config, config_data = _kept(told, DOCKER_CONFIG if how.docker else CONFIG)
    media_type = DOCKER_MANIFEST if how.docker else MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.document,
        "layers": [each.descriptor.document for each in made],
    }
    root, data = _kept(manifest, media_type)
    blobs = {each.descriptor.digest: each.data for each in made}
    return Built(
        root,
        {**blobs, config.digest: config_data, root.digest: data},
        config=config,
        layers=tuple(each.descriptor for each in made),
        diff_ids=diff_ids,
    )


def index(*images: tuple[Built, Platform | None], docker: bool = False) -> Built:
    """An index of these images, each for its platform; None says none."""
    media_type = DOCKER_INDEX if docker else INDEX
    entries = [
        {**built.root.document, **({"platform": dict(platform)} if platform else {})}
        for built, platform in images
    ]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    root, data = _kept(document, media_type)
    blobs = {digest: blob for built, _ in images for digest, blob in built.blobs.items()}
    manifests = [one for built, _ in images for one in (*built.manifests, built.root)]
    return Built(root, {**blobs, root.digest: data}, tuple(dict.fromkeys(manifests)))


def attested(built: Built) -> Built:
    """An index of the image and, first of all, what BuildKit attests of it."""
    statement = Blob(IN_TOTO, b'{"_type":"https://in-toto.io/Statement/v0.1"}', built.root.digest)
    attestation = image(statement, described=Described(platform=UNKNOWN))

    def marked(document: Json) -> None:
        document["manifests"][0]["annotations"] = {
            "vnd.docker.reference.digest": built.root.digest,
            "vnd.docker.reference.type": "attestation-manifest",
        }

    return changed(index((attestation, UNKNOWN), (built, HERE)), marked)


def nested(built: Built, depth: int) -> Built:
    """The image in an index in an index, so many deep."""
    for _ in range(depth):
        built = index((built, HERE))
    return built


def changed(built: Built, change: Callable[[Json], object]) -> Built:
    """The same after ``change`` to the document at the root, whose digest and size are right."""
    document = built.document
    change(document)
    root, data = _kept(document, built.root.media_type)
    others = {digest: blob for digest, blob in built.blobs.items() if digest != built.root.digest}
    return replace(built, root=root, blobs={**others, root.digest: data})


def document(data: bytes, media_type: str) -> Built:
    """Any bytes in place of a manifest."""
    root = Descriptor(media_type, digest_of(data), len(data))
    return Built(root, {root.digest: data})


def swapped(built: Built, digest: str, data: bytes) -> Built:
    """The same with other bytes behind this digest, which are not those that it names."""
    return replace(built, blobs={**built.blobs, digest: data})


def schema_1(name: str, tag: str, layer: Layer) -> Built:
    """An image as registries had them before 2015."""
    blob = layer.blob()
    told = {
        "schemaVersion": 1,
        "name": name,
        "tag": tag,
        "architecture": MACHINE,
        "fsLayers": [{"blobSum": blob.descriptor.digest}],
        "history": [{"v1Compatibility": json.dumps({"id": "0" * 64, "os": "linux"})}],
    }
    built = document(_json(told), SCHEMA_1)
    return replace(built, blobs={**built.blobs, blob.descriptor.digest: blob.data})


def write_layout(built: Built, folder: Path, name: str) -> None:
    """The image as an OCI layout in the new directory ``folder``, under ``name``."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in built.blobs.items():
        (folder / "blobs" / digest.replace(":", "/")).write_bytes(data)
    entry = {**built.root.document, "annotations": {"org.opencontainers.image.ref.name": name}}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _kept(document: Mapping[str, Any], media_type: str) -> tuple[Descriptor, bytes]:
    data = _json(document)
    return Descriptor(media_type, digest_of(data), len(data)), data


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
