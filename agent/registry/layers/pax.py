"""Extended headers of tar files, as POSIX.1-2001 (pax) has them, with GNU's records for files with
holes."""

from collections.abc import Mapping

from agent.registry.layers.errors import LayerError

MAX_RECORDS = 10_000
"""In one header: each costs time, and takes but a few bytes."""

_LARGEST = 2**63 - 1
_SPARSE_MAP = b"GNU.sparse.map"
_SPARSE_PART = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
"""Of the first of GNU's formats, 0.0, with a pair of them for each part of the file."""
_SPARSE_VERSIONS = ((b"0", b"0"), (b"0", b"1"), (b"1", b"0"))


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """The records, the last of each key; parts of a file with holes as one map of them, as newer
    formats have it. Raises ``LayerError``."""
    records: dict[bytes, bytes] = {}
    parts: list[bytes] = []
    at = count = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        length = _decimal(data[at:space]) if space > at else 0
        record = data[space + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        complete = space + 1 < at + length <= len(data) and record.endswith(b"\n")
        if not (complete and key and equals):
            raise LayerError("an extended tar header that is damaged")
        if key in _SPARSE_PART:
            parts.append(value)
        else:
            records[key] = value
        at += length
        count += 1
        if count > MAX_RECORDS:
            raise LayerError(f"an extended tar header of more than {MAX_RECORDS} records")
    if parts:
        records[_SPARSE_MAP] = b",".join(parts)
    return records


def size_of(records: Mapping[bytes, bytes], size: int) -> int:
    """Bytes that follow the header, which itself says ``size``. Raises ``LayerError``."""
    text = records.get(b"size")
    return _decimal(text) if text else size


def sparse_name(records: Mapping[bytes, bytes]) -> bytes:
    """What a file with holes is really called: its other names are for readers that don't know
    about holes. Empty for other files. Raises ``LayerError``."""
    return records.get(b"GNU.sparse.name", b"") if is_sparse(records) else b""


def is_sparse(records: Mapping[bytes, bytes]) -> bool:
    """Whether the content is that of a file with holes. Raises ``LayerError``."""
    version = (records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b""))
    if version == (b"", b""):
        return bool(records.get(_SPARSE_MAP))
    if version not in _SPARSE_VERSIONS:
        raise LayerError("a sparse file in a format that nobody knows")
    return True


def unpacked_size(records: Mapping[bytes, bytes], size: int) -> int:
    """Bytes of the file with its holes: they are written as zeros. Raises ``LayerError``."""
    if not is_sparse(records):
        return size
    text = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
    return _decimal(text) if text else size


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > _LARGEST:
        raise LayerError("an extended tar header with a number that is none")
    return int(text)
