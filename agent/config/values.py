"""What the text of a setting may be, and the value that it stands for.

Each function takes the text and raises ValueError that ends the sentence "NAME=text (where): ...".
Those about the network are in ``network``, those that the ECS agent adjusts in ``adjusting``.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

_LONGEST_S = 2**63 / 1e9
"""Go's durations are 64-bit nanoseconds."""

_LONGEST_KEY, _LONGEST_TAG = 128, 256
"""Characters of a tag's key and value."""

_SHARED = frozenset(
    f"/{each}"
    for each in (
        *("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc"),
        *("root", "run", "sbin", "srv", "sys", "tmp", "usr", "usr/local", "var", "var/cache"),
        *("var/lib", "var/lock", "var/log", "var/opt", "var/run", "var/spool", "var/tmp"),
        *("run/containerd", "run/lock", "run/netns", "run/systemd", "run/user"),
        *("var/lib/containerd", "var/lib/docker"),
    )
)
"""Folders of hier(7), and of container runtimes."""


def absolute(text: str) -> Path:
    """An absolute path."""
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def own_folder(text: str) -> Path:
    """An absolute path that is nobody else's: the agent removes what it finds there."""
    plain = "/" + posixpath.normpath(absolute(text)).lstrip("/")
    if plain in _SHARED:
        raise ValueError("must be a folder of its own, such as /srv/hostler")
    return Path(plain)


def search_path(text: str) -> tuple[Path, ...]:
    """Absolute paths with colons between them."""
    return tuple(absolute(each) for each in text.split(":") if each)


def boolean(text: str) -> bool:
    """What Go's strconv.ParseBool takes, and so the ECS agent, which trims it."""
    text = text.strip()
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError("must be true or false")


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Text that the pattern matches as a whole; ``what`` says it in words."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {what}")
        return text

    return parse


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TERM = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|us|µs|ns|m|s)")


def duration(text: str) -> float:
    """Seconds of a duration in Go's syntax: ``90s``, ``10m``, ``1h30m``, ``0``; not negative."""
    if text == "0":
        return 0.0
    parts = _TERM.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds >= _LONGEST_S:
        raise ValueError("is longer than 292 years")
    return seconds


def from_json(text: str) -> object:
    """What the text is in JSON; None for what is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def tags(text: str) -> Mapping[str, str]:
    """A JSON object of texts, within ECS's bounds of tags."""
    found = from_json(text)
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError('must be a JSON object of texts such as {"rack": "7"}')
    if any(len(key) > _LONGEST_KEY or len(each) > _LONGEST_TAG for key, each in found.items()):
        raise ValueError(
            f"has a key of more than {_LONGEST_KEY} characters or a value of more "
            f"than {_LONGEST_TAG}"
        )
    return found


def whole(highest: int, lowest: int = 0) -> Callable[[str], int]:
    """A whole number within these bounds."""

    def parse(text: str) -> int:
        if re.fullmatch("[0-9]{1,10}", text) is None or not lowest <= int(text) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def at_least_one(text: str) -> int:
    """A whole number that is not zero."""
    if re.fullmatch("[0-9]{1,6}", text) is None or int(text) == 0:
        raise ValueError("must be a whole number from 1 on")
    return int(text)


def percent(text: str) -> int:
    """A share of a whole, 1 to 100."""
    if re.fullmatch("[0-9]{1,3}%?", text) is None or not 1 <= int(text.rstrip("%")) <= 100:
        raise ValueError("must be a percentage from 1 to 100")
    return int(text.rstrip("%"))


_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def size(text: str) -> int:
    """Bytes: a whole number, with k, m, g or t for powers of 1024."""
    found = re.fullmatch("([0-9]{1,12})([kmgt]?)b?", text.lower())
    if found is None or int(found[1]) == 0:
        raise ValueError("must be a size such as 500m or 32g")
    return int(found[1]) * _BYTES[found[2]]


def texts(text: str) -> frozenset[str]:
    """Texts with commas between them, taken as they are."""
    return frozenset(each for each in text.split(",") if each)


def cluster(text: str) -> str:
    """A cluster's name, which may be given as its ARN."""
    name = text.strip()
    if (arn := re.fullmatch(r"arn:aws[a-z-]*:ecs:[^:]+:[0-9]{12}:cluster/(.+)", name)) is not None:
        name = arn[1]
    if re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name) is None:
        raise ValueError("must be letters, digits, - and _, or a cluster's ARN")
    return name


def trimmed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """What ``parse`` makes of the text without the space around it."""
    return lambda text: parse(text.strip())


WORD = matching(r"[A-Za-z0-9_-]{1,255}", "letters, digits, - and _")
