"""What an image is made of, as the OCI image specification describes it. Pure."""

import re
from dataclasses import dataclass

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"

MAX_MEDIA_TYPE = 255
"""Characters: two names of 127 (RFC 6838)."""
MAX_SIZE = 2**63 - 1
"""Bytes: sizes are signed 64-bit numbers in the image specification."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob by its content: ``digest`` is ``algorithm:hex``, ``size`` is in bytes."""

    media_type: str
    digest: str
    size: int

    @property
    def algorithm(self) -> str:
        """sha256 or sha512, as ``hashlib`` names them."""
        return self.digest.partition(":")[0]

    @property
    def document(self) -> dict[str, object]:
        """As it stands in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Image:
    """An image for one platform. ``names`` are canonical references, possibly none."""

    names: tuple[str, ...]
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]


def descriptor_from(document: object) -> Descriptor:
    """Raises ``ValueError`` with what is wrong."""
    match document:
        case {"mediaType": str(media_type), "digest": str(digest), "size": int(size)}:
            if len(media_type) > MAX_MEDIA_TYPE:
                raise ValueError(f"a media type of {len(media_type)} characters")
            if not _DIGEST.fullmatch(digest):
                raise ValueError(f"{digest[:140]!r} is not a sha256 or sha512 digest")
            if isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
                raise ValueError(f"{digest}: a size of {size} bytes")
            return Descriptor(media_type, digest, size)
        case _:
            raise ValueError("a descriptor has a mediaType, a digest and a size")
