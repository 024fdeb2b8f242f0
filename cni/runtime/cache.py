"""What libcni keeps of each attachment: the arguments and the result of its ADD.

One file CACHE/results/NETWORK-CONTAINERID-IFNAME per attachment, which any other runtime that uses
the same directory reads and writes too. The file appears whole or not at all. After a power failure
it may be missing or empty: the attachment is gone then as well.
"""

import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cni import formats
from cni.conf import Fields
from cni.errors import CNIError, Code, reported
from cni.spec import Attachment, Result

_KIND: Final = "cniCacheV1"


@dataclass(frozen=True, slots=True)
class Cached:
    """An attachment as it was made; `network` is "" in files of libcni before 0.8."""

    attachment: Attachment
    result: Result
    network: str = ""
    netns: Path | None = None
    cni_args: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)


@reported("cannot keep the result of an attachment")
def write(directory: Path, cached: Cached, config: bytes, version: str) -> None:
    """Keep an attachment; `config` is the network's list, `version` its version."""
    written = {
        "kind": _KIND,
        "containerId": cached.attachment.container_id,
        "config": b64encode(config).decode(),
        "ifName": cached.attachment.ifname,
        "networkName": cached.network,
        "netns": str(cached.netns) if cached.netns else "",
        "cniArgs": list(cached.cni_args.items()),
        "capabilityArgs": dict(cached.capabilities),
        "result": formats.write_result(cached.result, version),
    }
    path = _path(directory, cached.network, cached.attachment)
    data = formats.encode(written)
    try:
        _replace(directory, path, data)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(directory, path, data)


def read(directory: Path, network: str, attachment: Attachment, version: str) -> Cached | None:
    """The attachment, or None; `version` is meant where a result says none.

    Raises number 5 or 6 when the file cannot be read.
    """
    path = _path(directory, network, attachment)
    try:
        with reported(f"cannot read {path}"):
            data = path.read_bytes()
    except CNIError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    return _cached(data, attachment, version)


@reported("cannot forget an attachment")
def remove(directory: Path, network: str, attachment: Attachment) -> None:
    """Forget the attachment; it may be forgotten already."""
    with suppress(FileNotFoundError):
        _path(directory, network, attachment).unlink()


def of_network(directory: Path, network: str, version: str) -> Iterator[Cached]:
    """All attachments of the network that can be read; files in the old form don't say theirs."""
    for path in sorted((directory / "results").glob(f"{network}-*")):
        with suppress(CNIError, OSError):
            # NETWORK-ID may be split in several ways: what the file says counts.
            cached = _cached(path.read_bytes(), Attachment("", ""), version)
            if cached.network == network:
                yield cached


def _path(directory: Path, network: str, attachment: Attachment) -> Path:
    name = f"{network}-{attachment.container_id}-{attachment.ifname}"
    return directory / "results" / name


def _replace(directory: Path, path: Path, data: bytes) -> None:
    # Beside the results: among them it would be taken for one.
    temporary = directory / f".{path.name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def _cached(data: bytes, attachment: Attachment, version: str) -> Cached:
    value = formats.decode(data, "a kept result")
    if not isinstance(value, dict):
        raise CNIError(Code.UNDECODABLE, "a kept result must be an object")
    if value.get("kind") != _KIND:
        return Cached(attachment, formats.read_result(value, version))
    fields = Fields(value, "a kept result")
    netns = fields.text("netns")
    return Cached(
        Attachment(fields.text("containerId"), fields.text("ifName")),
        formats.read_result(value.get("result"), version),
        fields.text("networkName"),
        Path(netns) if netns else None,
        _pairs(fields),
        fields.object("capabilityArgs").values,
    )


def _pairs(fields: Fields) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in fields.list("cniArgs"):
        match pair:
            case [str(key), str(value)]:
                pairs[key] = value
            case _:
                raise fields.wrong("cniArgs", "must be a list of pairs of strings")
    return pairs
