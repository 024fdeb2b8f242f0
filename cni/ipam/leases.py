"""Address leases as files of a directory, in the layout of CNI's host-local plugin.

  <root>/10.1.0.5                     c1\\r\\neth0     the claim: who has the address
  <root>/last_reserved_ip.0           10.1.0.5       handed out last in the range set 0
  <root>/attachments/0@c1@eth0     -> 10.1.0.5       the way from an attachment to its claims

A claim appears under its name with its content or not at all, and only one process can make it, so
nothing is locked and a crash leaves nothing half-written. A way is made before its claim and goes
after it: whatever happened in between, a claim can be found by its attachment. A way that leads to
somebody else's claim, or to none, means nothing. host-local, which reads every file that it finds,
cannot read the ways, since they lead nowhere from where they are; it and we see the same claims.

Not made for two operations on one attachment at the same time, which CNI forbids as well.
"""

# ruff: noqa: PTH108, PTH115, PTH211 - os is what is quick here

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeVar

from cni.ipam.ranges import Address
from cni.spec import Attachment

_T = TypeVar("_T")
_NEWLINE: Final = "\r\n"
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class LeaseStore:
    """The leases of one network, below `root`; it is made with the first lease."""

    root: Path

    def held_at(self, owner: Attachment) -> list[Address]:
        """What the attachment holds, by its ways alone: the same cost however many leases."""
        return self._claimed(owner, self._ways(owner))

    def held(self, owner: Attachment) -> list[Address]:
        """What the attachment holds, also by claims without a way: host-local makes none."""
        return self.held_at(owner) or [ip_address(name) for name in self._claims_of(owner)]

    def claim(self, owner: Attachment, place: int, candidates: Iterable[Address]) -> Address | None:
        """Give the first free one of the addresses to `owner`; None when all are taken.

        `place` numbers the addresses of one attachment; they are claimed in that order, and all are
        to be released when one can't be had.
        """
        # Without a name until it is a claim, so that a crash leaves nothing of it.
        flags = os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC
        draft = self._in_root(lambda: os.open(self.root, flags, 0o600))
        try:
            os.write(draft, _NEWLINE.join(owner).encode())
            for address in candidates:
                if self._claim(draft, owner, place, str(address)):
                    return address
        finally:
            os.close(draft)
        return None

    def release_at(self, owner: Attachment) -> bool:
        """Take back what the attachment holds by its ways alone; whether it did hold something."""
        ways = self._ways(owner)
        held = self._claimed(owner, ways)
        for address in held:
            _unlink(f"{self.root}/{address}")
        # The last one first, as the ways are followed up to the first that is not there.
        for place in reversed(range(len(ways))):
            _unlink(self._way(owner, place))
        return bool(held)

    def release(self, owner: Attachment) -> None:
        """Take back all that the attachment holds; nothing is fine."""
        if not self.release_at(owner):
            for name in self._claims_of(owner):
                _unlink(f"{self.root}/{name}")

    def release_all_but(self, valid: Collection[Attachment]) -> None:
        """Take back what none of the valid attachments hold; not while addresses are given."""
        containers = {each.container_id for each in valid}
        for name, holder in list(self.claims()):
            alive = holder in valid if holder.ifname else holder.container_id in containers
            if not alive:
                _unlink(f"{self.root}/{name}")
        for name in _listed(self.root / "attachments"):
            # No container id has an @ in it; an interface name may.
            if tuple(name.split("@", 2)[1:]) not in valid:
                _unlink(f"{self.root}/attachments/{name}")

    def taken(self) -> list[Address]:
        """All addresses that are claimed, in no order."""
        return [ip_address(name) for name in _listed(self.root) if _is_address(name)]

    def last(self, place: int) -> Address | None:
        """Where to go on in a range set. Only a hint, so any damage is forgiven."""
        try:
            return ip_address(_read(self._last(place)).strip())
        except (FileNotFoundError, ValueError):
            return None

    def remember(self, place: int, address: Address) -> None:
        """Note that this address was handed out last in a range set."""
        text = str(address).encode()
        descriptor = os.open(self._last(place), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, text)
            # Not emptied first: ext4 would then take closing it for a request to write to the disk.
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)

    def _claim(self, draft: int, owner: Attachment, place: int, name: str) -> bool:
        target = f"{self.root}/{name}"
        # Spares making a way to each of many that are taken.
        if os.path.lexists(target):
            return False
        self._in_root(lambda: self._lead(owner, place, name))
        try:
            # The descriptor as directory makes it linkat(2), which alone can follow the source.
            os.link(f"/proc/self/fd/{draft}", target, src_dir_fd=draft, follow_symlinks=True)
        except FileExistsError:
            return False
        return True

    def _lead(self, owner: Attachment, place: int, name: str) -> None:
        """Make the way to a claim, in the place of one that leads to none."""
        way = self._way(owner, place)
        try:
            os.symlink(name, way)
        except FileExistsError:
            _unlink(way)
            os.symlink(name, way)

    def _in_root(self, work: Callable[[], _T]) -> _T:
        """Do something that needs the directories, which are there but for the first time."""
        try:
            return work()
        except FileNotFoundError:
            (self.root / "attachments").mkdir(parents=True, exist_ok=True)
            return work()

    def _claimed(self, owner: Attachment, addresses: Iterable[Address]) -> list[Address]:
        return [address for address in addresses if self._holder(str(address)) == owner]

    def _claims_of(self, owner: Attachment) -> list[str]:
        """Also ancient claims, which name the container only."""
        ours = (owner, Attachment(owner.container_id, ""))
        return [name for name, holder in self.claims() if holder in ours]

    def _ways(self, owner: Attachment) -> list[Address]:
        found: list[Address] = []
        while (address := self._led_to(owner, len(found))) is not None:
            found.append(address)
        return found

    def _led_to(self, owner: Attachment, place: int) -> Address | None:
        try:
            return ip_address(os.readlink(self._way(owner, place)))
        except (FileNotFoundError, ValueError):
            return None

    def claims(self) -> Iterator[tuple[str, Attachment]]:
        """Every address that is held, and who holds it; the name is empty while being written."""
        for name in _listed(self.root):
            if _is_address(name) and (holder := self._holder(name)):
                yield name, holder

    def _holder(self, name: str) -> Attachment | None:
        """Who has the address; with an empty name where host-local has not written it yet."""
        try:
            text = _read(f"{self.root}/{name}")
        except FileNotFoundError:
            return None
        container_id, _, ifname = text.strip().partition(_NEWLINE)
        return Attachment(container_id, ifname)

    def _way(self, owner: Attachment, place: int) -> str:
        return f"{self.root}/attachments/{place}@{owner.container_id}@{owner.ifname}"

    def _last(self, place: int) -> str:
        return f"{self.root}/last_reserved_ip.{place}"


# Without the layers of paths and file objects: each ADD does a dozen of these.


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST).decode(errors="replace")
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _listed(directory: Path) -> list[str]:
    try:
        return [each.name for each in directory.iterdir()]
    except FileNotFoundError:
        return []


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
