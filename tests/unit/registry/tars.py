"""Tar files and image archives for tests, honest and otherwise."""

import hashlib
import io
import json
import tarfile
from typing import Any

from agent.registry.descriptor import CONFIG, INDEX, LAYER, MANIFEST, Descriptor

Entry = bytes | tarfile.TarInfo


def tar(entries: dict[str, Entry]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, entry in entries.items():
            if isinstance(entry, tarfile.TarInfo):
                file.addfile(entry)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(entry)
            file.addfile(info, io.BytesIO(entry))
    out.seek(0)
    return out


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def document(value: Any) -> bytes:
    return json.dumps(value).encode()


def described(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def path(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.replace(':', '/')}"


CONTENT = b"layer" * 100_000
LAYER_1 = described(CONTENT, LAYER)
CONFIGURATION = document(
    {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [LAYER_1.digest]}}
)
CONFIG_1 = described(CONFIGURATION, CONFIG)


def layout(**index_entry: Any) -> dict[str, Entry]:
    """An OCI layout with one image; more fields for its entry in the index."""
    manifest = document(
        {"schemaVersion": 2, "config": CONFIG_1.document, "layers": [LAYER_1.document]}
    )
    described_manifest = described(manifest, MANIFEST)
    return {
        "oci-layout": b"{}",
        "index.json": document({"manifests": [{**described_manifest.document, **index_entry}]}),
        path(described_manifest): manifest,
        path(CONFIG_1): CONFIGURATION,
        path(LAYER_1): CONTENT,
    }


def nested(entries: dict[str, Entry], **platform: str) -> dict[str, Entry]:
    """The layout with its index moved into a blob behind another index."""
    inner = entries.pop("index.json")
    assert isinstance(inner, bytes)
    index = described(inner, INDEX)
    outer = {**index.document, "annotations": {"io.containerd.image.name": "docker.io/a/b:1"}}
    return {**entries, path(index): inner, "index.json": document({"manifests": [outer]})}


def docker_save(**entry: Any) -> dict[str, Entry]:
    fields = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["1/layer.tar"], **entry}
    return {
        "manifest.json": document([fields]),
        "c.json": CONFIGURATION,
        "1/layer.tar": CONTENT,
    }
