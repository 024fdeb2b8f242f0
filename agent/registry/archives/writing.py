"""Images as one archive: an OCI image layout that is also what ``docker load`` reads.

The archive comes as a stream and is nowhere kept: what is in it is known from the descriptors, and
the blobs are read when it is their turn.
"""

import json
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing

from agent.registry import reference
from agent.registry.descriptor import INDEX, Descriptor, Image

ReadBlob = Callable[[Descriptor], AsyncGenerator[bytes]]

_BLOCK = tarfile.BLOCKSIZE


class WriteError(Exception):
    """A blob is not as long as its descriptor says: what came so far is no archive."""


async def write(images: Iterable[Image], read: ReadBlob) -> AsyncGenerator[bytes]:
    """The archive, in chunks of any size; a blob that several images have is in it once.

    ``read`` gives the bytes of a blob, whose digest it has checked. Raises ``WriteError``, and
    whatever ``read`` raises. To leave it early, wrap it in ``contextlib.aclosing``.
    """
    images = tuple(images)
    blobs = {blob.digest: blob for image in images for blob in _blobs(image)}
    for folder in ("blobs", *sorted({f"blobs/{blob.algorithm}" for blob in blobs.values()})):
        yield _header(folder, 0, tarfile.DIRTYPE)
    for name, document in _documents(images).items():
        data = json.dumps(document, separators=(",", ":")).encode()
        yield _header(name, len(data)) + data + _filling(len(data))
    for blob in blobs.values():
        yield _header(_path(blob), blob.size)
        async with aclosing(_exactly(blob, read)) as chunks:
            async for chunk in chunks:
                yield chunk
        yield _filling(blob.size)
    yield bytes(2 * _BLOCK)


async def _exactly(blob: Descriptor, read: ReadBlob) -> AsyncGenerator[bytes]:
    done = 0
    async with aclosing(read(blob)) as chunks:
        async for chunk in chunks:
            done += len(chunk)
            if done > blob.size:
                raise WriteError(f"{blob.digest} is longer than its {blob.size} bytes")
            yield chunk
    if done < blob.size:
        raise WriteError(f"{blob.digest} ends after {done} of {blob.size} bytes")


def _blobs(image: Image) -> tuple[Descriptor, ...]:
    return (image.manifest, image.config, *image.layers)


def _documents(images: tuple[Image, ...]) -> dict[str, object]:
    """What says where everything is: to readers of OCI layouts, and to those of docker save."""
    entries = [entry for image in images for entry in _entries(image)]
    return {
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "index.json": {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries},
        "manifest.json": [_saved(image) for image in images],
    }


def _entries(image: Image) -> Iterator[dict[str, object]]:
    """One for each name: containerd's annotation, and the one that others go by."""
    if not image.names:
        yield image.manifest.document
    for name in image.names:
        annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        yield {**image.manifest.document, "annotations": annotations}


def _saved(image: Image) -> dict[str, object]:
    return {
        "Config": _path(image.config),
        "RepoTags": [name for name in image.names if reference.parse(name).digest is None],
        "Layers": [_path(layer) for layer in image.layers],
    }


def _path(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Always the same for the same: no time, no owner."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _filling(size: int) -> bytes:
    return bytes(-size % _BLOCK)
