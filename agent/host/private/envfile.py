"""What an environment file says, read as the ECS agent reads it. Pure.

No quotes, no blanks taken off, no ``export``, no lines that go on.

Reference: ECS developer guide, "Pass environment variables from files".
"""

from __future__ import annotations

LONGEST_LINE = 64 * 1024 - 1
"""Bytes of a line, its carriage return counted."""


class EnvFileError(Exception):
    """The file can't be used; the text says where and why, and quotes nothing of it."""


def parse(content: bytes) -> dict[str, str]:
    """The variables of a file; of two with the same name the last one. Raises EnvFileError."""
    variables = {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > LONGEST_LINE:
            raise EnvFileError(f"line {number} has more than {LONGEST_LINE} bytes")
        if line.startswith((b"#", b"=")) or b"=" not in line:
            continue
        name, _, value = _text(line.removesuffix(b"\r"), number).partition("=")
        variables[name] = value
    return variables


def _text(line: bytes, number: int) -> str:
    if b"\0" in line:
        raise EnvFileError(f"line {number} holds a NUL character, which no variable can")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise EnvFileError(f"line {number} is not UTF-8 text") from None
