"""Bytes to lines: joins what reads have split, and splits what is too long. Pure.

A line longer than ``PIECE`` bytes comes out in pieces of at most that size, of which only the last
one ends with a newline, as Docker does it; unlike Docker's, a piece never ends inside a UTF-8
character. How the bytes were cut into reads makes no difference to what comes out.
"""

PIECE = 16 * 1024


class Lines:
    """Collects one stream's bytes; ``tail`` is the beginning of the line still incomplete."""

    __slots__ = ("tail",)

    def __init__(self) -> None:
        self.tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines and pieces that ``data`` completed, each with its newline if it has one."""
        parts = (self.tail + data).split(b"\n")
        last, self.tail = _pieces(parts.pop())
        done: list[bytes] = []
        for part in parts:
            if len(part) > PIECE:
                full, part = _pieces(part)
                done += full
            done.append(part + b"\n")
        return done + last

    def finish(self) -> list[bytes]:
        """What is left at the end of the stream: at most one line, without a newline."""
        tail, self.tail = self.tail, b""
        return [tail] if tail else []


def _pieces(line: bytes) -> tuple[list[bytes], bytes]:
    """The full pieces of a long line, and the rest of it, which is no longer than a piece."""
    pieces = []
    start = 0
    while len(line) - start > PIECE:
        end = _character_start(line, start + PIECE)
        pieces.append(line[start:end])
        start = end
    return pieces, line[start:]


def _character_start(line: bytes, index: int) -> int:
    """Where the UTF-8 character at ``index`` begins; ``index`` itself if that is not UTF-8."""
    for back in range(4):
        if line[index - back] & 0xC0 != 0x80:
            return index - back
    return index
