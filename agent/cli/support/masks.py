"""Keeps secrets out of texts: those whose values are known, and what looks like one.

Before anything else, values are left out by where they stand (``shapes``). This is for the rest:
log lines, reasons, listings, which should hold none.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

HIDDEN = "(hidden)"

_SHORTEST = 8
"""Characters: a shorter value is a word of ordinary texts too."""

_SHORTEST_SECRET = 4
"""Of what is certainly a secret: until it has ``_SHORTEST``, it is hidden as a word of its own."""

_TOKEN = re.compile(r"[A-Za-z0-9_\-+/.=~]{16,}")
"""Parts of a command line or a file that may be secret in themselves."""

_SECRET_NAME = (
    r"(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|auth|credential|private[_-]?key)"  # noqa: S105
)

_WORD = rf"(?<![\w-])(?=[\w-]*?{_SECRET_NAME})[\w-]++"
"""A whole word with such a name in it; no word is looked at twice, however long it is."""

_VALUE = r"""(?:\\++"[^"\n]*+"|"(?:[^"\\\n]|\\.)++"?|'(?:[^'\\\n]|\\.)++'?|[^\s,;"'&)}\]]+)"""
"""As it is, in quotes, or in quotes that are escaped; the second quote may be cut off."""

_KEY_CHARACTERS = 16 * 1024
"""Of a private key that has no end."""

# Each takes time in proportion to the text: whoever may run a task decides what is in it.
_PATTERNS = (
    # keys of AWS, and of this host's own API
    (re.compile(r"\b(?:AKIA|ASIA|HOSTLER)[A-Z0-9]{12,}\b"), HIDDEN),
    # scheme://user:password@host
    (re.compile(r"(?<=://)[^/\s\"']+@"), f"{HIDDEN}@"),
    (re.compile(r"(?i)\b(basic|bearer|negotiate) ++[A-Za-z0-9+/=_.~-]{8,}"), rf"\1 {HIDDEN}"),
    # JSON web tokens
    (re.compile(r"(?<![\w-])eyJ[\w-]{4,}+\.[\w-]++\.[\w-]*"), HIDDEN),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
            rf"(?:.{{0,{_KEY_CHARACTERS}}}?-----END [A-Z ]*KEY-----|.{{0,{_KEY_CHARACTERS}}})",
            re.S,
        ),
        HIDDEN,
    ),
    # where a task asks for its credentials
    (re.compile(r"(?<=/credentials/)[0-9a-fA-F-]{16,}"), HIDDEN),
    # password=..., "token": "...", --api-key ...
    (re.compile(rf"(?i)({_WORD}\\*+[\"']?\s*+[=:]\s*+)(?!\(hidden\)){_VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)((?=--){_WORD}\s++)(?!\(hidden\)){_VALUE}"), rf"\1{HIDDEN}"),
)


class Masks:
    """Texts without secrets. ``learn`` and ``learn_secrets`` first, then ``mask``."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lengths: dict[str, list[int]] = {}
        """Of the known ones that begin so, the longest first."""

    def learn(self, values: Iterable[str]) -> None:
        """These values may be secret, in whatever form they appear. Short ones are not hidden."""
        self._learn(values, _SHORTEST)

    def learn_secrets(self, values: Iterable[str]) -> None:
        """These values are secret for sure. Only the shortest are not hidden."""
        self._learn(values, _SHORTEST_SECRET)

    def mask(self, text: str) -> str:
        """The text with none of them in it, nor what looks like one."""
        text = self._without_known(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def _learn(self, values: Iterable[str], shortest: int) -> None:
        for value in values:
            self._known.update(_forms(value, shortest))
        lengths: dict[str, set[int]] = {}
        for each in self._known:
            lengths.setdefault(each[:_SHORTEST_SECRET], set()).add(len(each))
        self._lengths = {start: sorted(all_, reverse=True) for start, all_ in lengths.items()}

    def _is_known(self, text: str, at: int, end: int) -> bool:
        if text[at:end] not in self._known:
            return False
        return end - at >= _SHORTEST or not _within_word(text, at, end)

    def _without_known(self, text: str) -> str:
        """In one go through the text, however many are known; they may overlap."""
        told, end = list[str](), 0
        for at in range(len(text) - _SHORTEST_SECRET + 1):
            for length in self._lengths.get(text[at : at + _SHORTEST_SECRET], ()):
                if at + length <= end:
                    break  # as all that follow, which are shorter
                if self._is_known(text, at, at + length):
                    told += [text[end:at], HIDDEN] if at >= end else []
                    end = at + length
                    break
        return "".join((*told, text[end:]))

    def mask_all(self, value: Any) -> Any:
        """The same for every text in a JSON value, so that it stays JSON."""
        match value:
            case dict():
                return {self.mask(str(name)): self.mask_all(each) for name, each in value.items()}
            case list() | tuple():
                return [self.mask_all(each) for each in value]
            case str():
                return self.mask(value)
            case _:
                return value


def _forms(value: str, shortest: int) -> Iterator[str]:
    """The value, its lines and its long parts, each as it is and as others write it."""
    stripped = value.strip()
    parts = [stripped, *stripped.splitlines()]
    parts += [each for each in _TOKEN.findall(stripped) if _may_be_secret(each)]
    for each in dict.fromkeys(part.strip() for part in parts):
        if len(each) >= shortest:
            yield each
            yield json.dumps(each)[1:-1]
            yield quote(each, safe="")
            yield b64encode(each.encode()).decode().rstrip("=")


def _within_word(text: str, at: int, end: int) -> bool:
    """Whether what is there goes on before or after, as ``rate`` does in ``generated``."""
    return any(each.isalnum() or each == "_" for each in (text[at - 1 : at], text[end : end + 1]))


def _may_be_secret(word: str) -> bool:
    """No path, no plain word, no number."""
    has = [any(test(letter) for letter in word) for test in (str.isdigit, str.isalpha)]
    return all(has) and not word.startswith(("/", "."))
