"""Images in files: OCI image layouts and what ``docker save`` writes, as tar, tar.gz or tar.zst.

An ``Archive`` gives the images it holds as descriptors, and the bytes behind each descriptor,
checked against size and digest while they are read. The archive of ``docker save`` has no OCI
manifest; one is made from its ``manifest.json``. Nothing is unpacked to disk (but see ``tarball``).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from agent.registry import reference
from agent.registry.archives.tarball import ArchiveError, Tarball
from agent.registry.descriptor import (
    CONFIG,
    INDEX,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    Image,
    descriptor_from,
)
from agent.registry.errors import RegistryError
from agent.registry.layers.decompress import compression
from agent.registry.manifest import (
    MANIFESTS,
    MAX_DEPTH,
    MAX_DOCUMENT,
    Entry,
    Index,
    Manifest,
    choose,
    parse,
)
from agent.registry.platform import Platform, platform_from

__all__ = ["Archive", "ArchiveError"]

_PACKED_LAYERS = {"gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}


class Archive:
    """The images of one file that run on ``architecture`` (Go's name: amd64, arm64).

    A context manager: what a compressed file was unpacked to is gone at its end.
    """

    images: tuple[Image, ...]

    def __init__(self, file: BinaryIO, architecture: str, folder: Path | None = None) -> None:
        """Reads everything but the layers. ``file`` must be seekable and stays the caller's; a
        compressed one is unpacked in ``folder``, or else in that for temporary files.

        Raises ``ArchiveError``, also when no image in the file is for the architecture.
        """
        self._tar = Tarball(file, folder)
        self._platform = Platform("linux", architecture)
        self._members: dict[str, str] = {}  # digest -> name, for archives of docker save
        self._made: dict[str, bytes] = {}  # manifests made here
        try:
            self.images = self._find()
        except ArchiveError:
            self._tar.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob; one blob at a time.

        Raises ``ArchiveError``, for wrong content only at the end: until then, don't trust them.
        """
        made = self._made.get(descriptor.digest)
        if made is not None:
            yield made
            return
        name = self._member(descriptor)
        size = self._tar.size(name)
        if size != descriptor.size:
            raise ArchiveError(f"{name}: {size} bytes instead of {descriptor.size}")
        digest = hashlib.new(descriptor.algorithm)
        for chunk in self._tar.chunks(name):
            digest.update(chunk)
            yield chunk
        found = f"{descriptor.algorithm}:{digest.hexdigest()}"
        if found != descriptor.digest:
            raise ArchiveError(f"{name}: the content is {found} instead of {descriptor.digest}")

    def _find(self) -> tuple[Image, ...]:
        if "index.json" in self._tar:
            images = tuple(self._layout())
        elif "manifest.json" in self._tar:
            images = tuple(self._docker())
        else:
            raise ArchiveError(
                "neither index.json (OCI layout) nor manifest.json (docker save) is in the archive"
            )
        if not images:
            raise ArchiveError(f"no image for {self._platform} is in the archive")
        return images

    def _member(self, descriptor: Descriptor) -> str:
        if descriptor.digest in self._members:
            return self._members[descriptor.digest]
        return f"blobs/{descriptor.digest.replace(':', '/')}"

    # OCI layout

    def _layout(self) -> Iterator[Image]:
        data = self._read("index.json")
        top = self._parse(data, _described(INDEX, data), "index.json")
        found: dict[Descriptor, list[str]] = {}
        assert isinstance(top, Index)
        for name, entries in _by_name(top):
            manifest = self._for_platform(Index(entries))
            if manifest is not None:
                found.setdefault(manifest, []).extend(filter(None, [name]))
        for manifest, names in found.items():
            parsed = self._blob_document(manifest)
            assert isinstance(parsed, Manifest)
            image = Image(tuple(dict.fromkeys(names)), manifest, parsed.config, parsed.layers)
            self._check_present(image)
            yield image

    def _for_platform(self, index: Index) -> Descriptor | None:
        """The manifest that an index stands for on this platform, if any."""
        for _ in range(MAX_DEPTH + 1):
            try:
                descriptor = choose(index, self._platform)
            except RegistryError:
                return None
            if descriptor.media_type in MANIFESTS:
                return descriptor
            inner = self._blob_document(descriptor)
            assert isinstance(inner, Index)
            here = (each for each in inner.entries if self._member(each.descriptor) in self._tar)
            index = Index(tuple(here))
        raise ArchiveError(f"more than {MAX_DEPTH} indexes within each other")

    def _check_present(self, image: Image) -> None:
        for blob in (image.config, *image.layers):
            size = self._tar.size(self._member(blob))
            if size != blob.size:
                raise ArchiveError(f"{self._member(blob)}: {size} bytes instead of {blob.size}")

    # docker save

    def _docker(self) -> Iterator[Image]:
        entries = self._document("manifest.json")
        if not isinstance(entries, list):
            raise ArchiveError("manifest.json: not a list")
        for entry in entries:
            match entry:
                case {"Config": str(config), "Layers": list(layers)}:
                    image = self._docker_image(config, layers, entry.get("RepoTags") or [])
                    if image is not None:
                        yield image
                case _:
                    raise ArchiveError("manifest.json: an entry has no Config or no Layers")

    def _docker_image(self, config: str, layers: list[Any], tags: list[Any]) -> Image | None:
        data = self._read(config)
        document = _object(_json(data, config), config)
        if not self._runs(document, config):
            return None
        diff_ids = _list(_object(document.get("rootfs"), config), "diff_ids", config)
        if len(diff_ids) != len(layers):
            raise ArchiveError(f"{config}: {len(diff_ids)} diff_ids for {len(layers)} layers")
        configured = _described(CONFIG, data)
        self._members[configured.digest] = config
        described = [self._layer(*pair) for pair in zip(layers, diff_ids, strict=True)]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": configured.document,
                "layers": [layer.document for layer in described],
            }
        ).encode()
        made = _described(MANIFEST, manifest)
        self._made[made.digest] = manifest
        parsed = self._parse(manifest, made, "manifest.json")
        assert isinstance(parsed, Manifest)
        names = tuple(filter(None, map(_canonical, tags)))
        return Image(names, made, parsed.config, parsed.layers)

    def _runs(self, config: dict[str, Any], name: str) -> bool:
        try:
            platform = platform_from({"os": "linux", **config})
        except ValueError as error:
            raise ArchiveError(f"{name}: {error}") from error
        return platform.normal() in self._platform.runs()

    def _layer(self, name: object, diff_id: object) -> Descriptor:
        """Plain layers are what their diff_id says, checked when read; others are hashed."""
        if not isinstance(name, str):
            raise ArchiveError("manifest.json: a layer's name is not a string")
        size = self._tar.size(name)
        packed = compression(next(self._tar.chunks(name), b""))
        if packed:
            digest = hashlib.sha256()
            for chunk in self._tar.chunks(name):
                digest.update(chunk)
            layer = Descriptor(_PACKED_LAYERS[packed], f"sha256:{digest.hexdigest()}", size)
        else:
            document = {"mediaType": LAYER, "digest": diff_id, "size": size}
            layer = _descriptor(document, name)
        self._members[layer.digest] = name
        return layer

    # Documents

    def _document(self, name: str) -> Any:
        return _json(self._read(name), name)

    def _blob_document(self, descriptor: Descriptor) -> Manifest | Index:
        name = self._member(descriptor)
        if descriptor.size > MAX_DOCUMENT:
            raise ArchiveError(f"{name}: {descriptor.size} bytes are too many for a manifest")
        return self._parse(b"".join(self.blob(descriptor)), descriptor, name)

    def _parse(self, data: bytes, descriptor: Descriptor, name: str) -> Manifest | Index:
        try:
            return parse(data, descriptor)
        except RegistryError as error:
            raise ArchiveError(f"{name}: {error}") from error

    def _read(self, name: str) -> bytes:
        if self._tar.size(name) > MAX_DOCUMENT:
            raise ArchiveError(f"{name}: more than {MAX_DOCUMENT} bytes")
        return b"".join(self._tar.chunks(name))


def _described(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{where}: not JSON: {error}") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ArchiveError(f"{where}: not a JSON object where one must be")
    return value


def _list(document: Any, key: str, where: str) -> list[Any]:
    value = _object(document, where).get(key)
    if not isinstance(value, list):
        raise ArchiveError(f"{where}: no list {key!r}")
    return value


def _descriptor(document: Any, where: str) -> Descriptor:
    try:
        return descriptor_from(document)
    except ValueError as error:
        raise ArchiveError(f"{where}: {error}") from error


def _by_name(index: Index) -> Iterator[tuple[str | None, tuple[Entry, ...]]]:
    """The images of an index, each for one or more platforms; nameless ones stand alone."""
    named: dict[str, list[Entry]] = {}
    for entry in index.entries:
        name = _name(entry.annotations)
        if name is None:
            yield None, (entry,)
        else:
            named.setdefault(name, []).append(entry)
    for name, entries in named.items():
        yield name, tuple(entries)


def _name(annotations: Mapping[str, str]) -> str | None:
    """containerd annotates the full name; of the OCI annotation some make it, others a bare tag."""
    full = annotations.get("io.containerd.image.name")
    name = annotations.get("org.opencontainers.image.ref.name")
    if full is None and name is not None and not set(name) & set("/:"):
        return None
    return _canonical(full or name)


def _canonical(name: object) -> str | None:
    try:
        return str(reference.parse(name)) if isinstance(name, str) else None
    except reference.InvalidReference as error:
        raise ArchiveError(f"the name of an image: {error}") from error
