"""Traffic control in memory, as strict about trees as the kernel, and as pyroute2 shows it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

TOP = 0xFFFFFFFF


@dataclass
class Qdisc:
    index: int
    kind: str
    parent: int
    handle: int
    options: dict[str, Any]

    def __getitem__(self, key: str) -> int:
        found: int = {"index": self.index, "parent": self.parent, "handle": self.handle}[key]
        return found

    def get_attr(self, name: str) -> Any:
        return {"TCA_KIND": self.kind, "TCA_OPTIONS": self.options}[name]


@dataclass
class TrafficControl:
    """A kernel that lacks some kinds, and can fail at the n-th command from now."""

    lacks: frozenset[str] = frozenset()
    qdiscs: list[Qdisc] = field(default_factory=list)
    filters: list[dict[str, Any]] = field(default_factory=list)
    commands: int = 0
    fails_at: int | None = None
    hidden: bool = False

    def get_qdiscs(self) -> Sequence[Qdisc]:
        if self.hidden:
            raise NetlinkError(errno.EPERM)
        return tuple(self.qdiscs)

    def tc(self, command: str, kind: str | None = None, **words: Any) -> None:
        assert kind is not None
        self.commands += 1
        if self.commands == self.fails_at:
            raise NetlinkError(errno.ENOMEM)
        match command:
            case "add":
                self._add(kind, **words)
            case "add-filter":
                self._filter(kind, **words)
            case "del":
                self._delete(**words)
            case _:
                raise AssertionError(command)

    def _add(self, kind: str, *, index: int, parent: int, handle: int, **options: Any) -> None:
        taken = [each for each in self.qdiscs if each.index == index and each.parent == parent]
        if taken and parent == TOP:
            raise NetlinkError(errno.EEXIST)
        if kind in self.lacks:
            raise NetlinkError(errno.ENOENT)
        if any(each.index == index and each.handle == handle for each in self.qdiscs):
            raise NetlinkError(errno.EEXIST)
        if parent != TOP:
            above = self._at(index, parent & 0xFFFF0000)
            if not 1 <= parent & 0xFFFF <= above.options["bands"]:
                raise NetlinkError(errno.ENOENT)
        self.qdiscs.append(Qdisc(index, kind, parent, handle, {"loss": 0, **options}))

    def _filter(self, kind: str, *, index: int, parent: int, **words: Any) -> None:
        if kind in self.lacks:
            raise NetlinkError(errno.ENOENT)
        self._at(index, parent)
        protocol = words.get("protocol", 3)
        for each in self.filters:
            same = (each["index"], each["parent"], each["prio"]) == (index, parent, words["prio"])
            if same and each["protocol"] != protocol:
                raise NetlinkError(errno.EINVAL)
        made = {"kind": kind, "index": index, "parent": parent, "protocol": protocol, **words}
        self.filters.append(made)

    def _delete(self, *, index: int, parent: int, handle: int) -> None:
        qdisc = self._at(index, handle)
        assert qdisc.parent == parent
        for below in [each for each in self.qdiscs if each.index == index]:
            if below.parent & 0xFFFF0000 == handle and below.parent != TOP:
                self._delete(index=index, parent=below.parent, handle=below.handle)
        self.filters = [
            each for each in self.filters if (each["index"], each["parent"]) != (index, handle)
        ]
        self.qdiscs.remove(qdisc)

    def _at(self, index: int, handle: int) -> Qdisc:
        for each in self.qdiscs:
            if (each.index, each.handle) == (index, handle):
                return each
        raise NetlinkError(errno.ENOENT)
