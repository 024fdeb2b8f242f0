"""Whether a layer can be unpacked without the layers below it."""

from array import array

MAX_FOLDER_BYTES = 16 * 1024 * 1024
"""Bytes of names of folders to remember."""
MAX_LINKS = 50_000
"""Targets of hard links to remember."""
_OBJECT = 64  # bytes that a name takes beside its own
_HASH = 2**64 - 1


class Contained:
    """Follows the entries of a layer in their order.

    A layer is self-contained when each entry's folder is an entry before it, and so is the target
    of each hard link. It then says itself of what mode and owner every folder is, and no path leads
    through a link. A layer with more folders than can be remembered counts as not self-contained.
    """

    def __init__(self) -> None:
        self._holds = True
        self._folders: set[bytes] = set()
        self._folder_bytes = 0
        self._files = array("Q")  # hashes of names: a million of names would take too much memory
        self._wanted: dict[int, int] = {}  # hash of a hard link's target -> files before the link

    def folder(self, path: bytes, parent: bytes) -> None:
        """A directory; the root is the empty path."""
        if not self._under(parent) or not path:
            return
        if path not in self._folders:
            self._folders.add(path)
            self._folder_bytes += len(path) + _OBJECT
            if self._folder_bytes > MAX_FOLDER_BYTES:
                self._give_up()

    def file(self, path: bytes, parent: bytes) -> None:
        """Anything else."""
        if not self._under(parent):
            return
        if path in self._folders:  # which it replaces, with all that is in it
            self._give_up()
        self._files.append(hash(path) & _HASH)

    def link(self, path: bytes, parent: bytes, target: bytes) -> None:
        """A hard link, to what must have come before."""
        if self._holds:
            self._wanted.setdefault(hash(target) & _HASH, len(self._files))
            if target in self._folders or len(self._wanted) > MAX_LINKS:
                self._give_up()
        self.file(path, parent)

    def verdict(self) -> bool:
        """After the last entry."""
        wanted = dict(self._wanted)
        for before, name in enumerate(self._files):
            if not wanted:
                break
            if before < wanted.get(name, 0):
                del wanted[name]
        return self._holds and not wanted

    def _under(self, parent: bytes) -> bool:
        if self._holds and parent and parent not in self._folders:
            self._give_up()
        return self._holds

    def _give_up(self) -> None:
        self._holds = False
        self._folders.clear()
        self._wanted.clear()
        del self._files[:]
