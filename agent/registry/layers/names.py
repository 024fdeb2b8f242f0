"""Names in a layer: where they lead below the root of the image."""

from agent.registry.layers.errors import LayerError

MAX_NAME = 4095
"""Bytes of a path, as Linux limits it (PATH_MAX without the final zero)."""

_WHITEOUT = b".wh."
_TOLD = 100


def below_root(name: bytes) -> bytes:
    """The path from the root, without a slash at either end; empty for the root itself.

    A leading slash means nothing, as to containerd. Raises ``LayerError`` for a name that is
    empty, that no file can have, or that leads out of the root.
    """
    path = name.strip(b"/")
    if not name or len(name) > MAX_NAME or b"\0" in name:
        raise LayerError(f"{told(name)} is not the name of a file")
    if path[:1] == b"." or b"/." in path or b"//" in path:
        path = b"/".join(_normal(path, name))
    return path


def is_whiteout(base: bytes) -> bool:
    """Whether the last part of a path says that something below is gone (OCI image-spec, layer).

    Raises ``LayerError`` for one that would remove the folder that it is in, or the one above.
    """
    if not base.startswith(_WHITEOUT):
        return False
    if base[len(_WHITEOUT) :] in (b"", b".", b".."):
        raise LayerError(f"{told(base)} would remove more than a file of the folder that it is in")
    return True


def told(name: bytes) -> str:
    """A name for people."""
    text = ascii(name)[1:]
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}..."


def _normal(path: bytes, name: bytes) -> list[bytes]:
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if not parts:
                raise LayerError(f"{told(name)} leads out of the image")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return parts
