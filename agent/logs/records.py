"""Which streams are open, remembered in the run directory across restarts. Used by ``router``.

``streams/<container id>.json`` is the ``open`` request, written before its FIFOs are opened and
removed when the stream is closed; ``spool/`` holds the journals.
"""

from collections.abc import Iterator
from pathlib import Path

from agent.logs.protocol import ProtocolError, Stream, decode, encode, stream_from


class Records:
    """The records in one run directory, whose folders it makes."""

    __slots__ = ("_spool", "_streams")

    def __init__(self, run_dir: Path) -> None:
        self._streams = run_dir / "streams"
        self._spool = run_dir / "spool"
        for folder in (self._streams, self._spool):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def journal_prefix(self, container_id: str) -> str:
        return str(self._spool / container_id)

    def save(self, stream: Stream) -> None:
        """Written beside and renamed: a record is whole or is not there."""
        path = self._path(stream.id)
        beside = path.with_name(f"{path.name}.new")
        beside.write_bytes(encode(stream._asdict()))
        beside.replace(path)

    def remove(self, container_id: str) -> None:
        self._path(container_id).unlink(missing_ok=True)

    def load(self) -> Iterator[Stream | ProtocolError]:
        """Every recorded stream; for a record that makes no sense, why."""
        for path in sorted(self._streams.glob("*.json")):
            try:
                yield stream_from(decode(path.read_bytes()))
            except ProtocolError as error:
                yield ProtocolError(f"{path}: {error}")

    def _path(self, container_id: str) -> Path:
        return self._streams / f"{container_id}.json"
