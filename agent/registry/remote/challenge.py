"""What a registry says with 401: how to prove who we are (RFC 9110 section 11.6.1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"[ \t,]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of proving it: ``scheme`` and the names of ``params`` are in small letters."""

    scheme: str
    params: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges in all WWW-Authenticate headers of an answer, in their order.

    What can't be understood ends the header it is in.
    """
    return tuple(challenge for header in headers for challenge in _challenges(header))


def _challenges(text: str) -> Iterator[Challenge]:
    at = _skip(_BETWEEN, text, 0)
    while scheme := _TOKEN.match(text, at):
        at = _skip(_SPACE, text, scheme.end())
        params: dict[str, str] = {}
        at = _skip(_TOKEN68, text, at)
        while param := _param(text, at):
            name, value, at = param
            params.setdefault(name, value)
            at = _skip(_BETWEEN, text, at)
        yield Challenge(scheme[0].lower(), params)
        at = _skip(_BETWEEN, text, at)


def _param(text: str, at: int) -> tuple[str, str, int] | None:
    """The next ``name=value`` and where it ends; None where a new challenge begins."""
    name = _TOKEN.match(text, at)
    equals = name and _EQUALS.match(text, name.end())
    if not name or not equals:
        return None
    if quoted := _QUOTED.match(text, equals.end()):
        return name[0].lower(), re.sub(r"\\(.)", r"\1", quoted[1]), quoted.end()
    if token := _TOKEN.match(text, equals.end()):
        return name[0].lower(), token[0], token.end()
    return None


def _skip(what: re.Pattern[str], text: str, at: int) -> int:
    found = what.match(text, at)
    return found.end() if found else at
