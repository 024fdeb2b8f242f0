"""The records of NICs that are lent: one file each, whole or not there. Used by `nics` only."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cni.awsvpc.nicstate import State
from cni.spec import Attachment

_log = logging.getLogger(__name__)

MARK: Final = "hostler:"
"""What the alias of a NIC begins with that is lent."""


@dataclass(frozen=True, slots=True)
class Record:
    """A NIC that is lent, to whom, and what it was before.

    `namespace` is the inode number of the namespace at `netns`: the name may be given again.
    """

    network: str
    attachment: Attachment
    netns: Path
    namespace: int
    kind: str
    permanent_mac: str
    state: State

    @property
    def mark(self) -> str:
        """The alias by which the NIC is known while it is lent."""
        return MARK + _stem(self.attachment)


@dataclass(frozen=True, slots=True)
class Records:
    """All records of one directory. Changes and moves are for whoever has it `locked`."""

    root: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other threads and processes that lend NICs waiting."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def any(self) -> bool:
        """Whether any was ever written: without, there is nothing to lock for."""
        return self.root.exists()

    def all(self) -> list[Record]:
        """Every record; one that can't be read is told and left alone."""
        with suppress(FileNotFoundError):
            found = [_read(path) for path in sorted(self.root.glob("*.json"))]
            return [record for record in found if record is not None]
        return []

    def read(self, attachment: Attachment) -> Record | None:
        """The record of what an attachment was lent."""
        return _read(self._path(attachment))

    def write(self, record: Record) -> None:
        """Write a record, all of it or nothing, to last even if the power fails."""
        import json

        path = self._path(record.attachment)
        beside = path.with_suffix(".new")
        with beside.open("w") as file:
            json.dump(_to_json(record), file)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)

    def remove(self, record: Record) -> None:
        """Remove a record; none is fine."""
        self._path(record.attachment).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what was not written to the end."""
        for path in self.root.glob("*.new"):
            path.unlink(missing_ok=True)

    def _path(self, attachment: Attachment) -> Path:
        return self.root / f"{_stem(attachment)}.json"


def _stem(attachment: Attachment) -> str:
    """Unlike any other's: a container id has no `@`."""
    return f"{attachment.container_id}@{attachment.ifname}"


def _read(path: Path) -> Record | None:
    import json

    try:
        return _from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged (%s): the NIC it is of must be put back by hand", path, error)
        return None


def _to_json(record: Record) -> dict[str, Any]:
    state = record.state
    return {
        "network": record.network,
        "containerId": record.attachment.container_id,
        "ifName": record.attachment.ifname,
        "netns": str(record.netns),
        "namespace": record.namespace,
        "kind": record.kind,
        "permanentMac": record.permanent_mac,
        "name": state.name,
        "mac": state.mac,
        "mtu": state.mtu,
        "up": state.up,
        "alias": state.alias,
        "addresses": [body.hex() for body in state.addresses],
        "routes": [body.hex() for body in state.routes],
    }


def _from_json(value: dict[str, Any]) -> Record:
    state = State(
        name=value["name"],
        mac=value["mac"],
        mtu=value["mtu"],
        up=value["up"],
        alias=value["alias"],
        addresses=tuple(bytes.fromhex(text) for text in value["addresses"]),
        routes=tuple(bytes.fromhex(text) for text in value["routes"]),
    )
    return Record(
        network=value["network"],
        attachment=Attachment(value["containerId"], value["ifName"]),
        netns=Path(value["netns"]),
        namespace=value["namespace"],
        kind=value["kind"],
        permanent_mac=value["permanentMac"],
        state=state,
    )
