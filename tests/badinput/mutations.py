"""Requests that are wrong in every way that we could think of, made from right ones.

Drawn by a seeded ``random.Random``, so that a number names a request for good.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]

LONG = "x" * 5000
NASTY: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 7, 59, 2**31 - 1, 2**31, -(2**31) - 1, 2**63, 10**400, 0.5, -0.0,
    1e308, 5e-324, "", " ", "0", "-1", "x", LONG, "\x00", "a\x00b", "\n", "\r\n\t", "%s%n", "{}",
    "../../etc/passwd", "/", "//", "a/b", ":", "a:b:c", "=", "=a", "a=b", "*", "~", "$(reboot)",
    "'; DROP TABLE intent; --", "é", "\u202e", "\U0001f9e8", "\u0661", "\ufeff", "\uffff", "İ",
    "e\u0301" * 300, "arn:aws:ecs:::", "arn:" * 100, "sha256:", "sha256:" + "0" * 64, "1-2", "9-1",
    "0-99999", "1e3", "0x10", "Infinity", ".5 GB", "1" * 13, "0.0000000001 vCPU", "1.1.1.1", "::1",
    "CMD", "default", "web", "web:1", "web:0", "web:" + "9" * 30, "hostler:x", [], {}, [[]], [{}],
    [None], {"": ""}, {"name": None}, ["x", 1], [[[[[[[[]]]]]]]], {"a": {"b": {"c": {}}}},
    ["x"] * 1000, {str(number): "" for number in range(300)},
)  # fmt: skip
"""Values of any type that a field may be given."""

NAMES = ("", "x", "Name", "NAME", "nane", "é", "\x00", LONG, "__proto__", "__class__", "[key]", "0")
"""Names of fields that nobody has."""


def mutated(rng: random.Random, body: Body) -> bytes:
    """The bytes of a request that was right; some are still right."""
    wrong = copy.deepcopy(body)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6))):
        rng.choice(_STRUCTURAL)(rng, wrong)
    text = json.dumps(wrong)
    if rng.random() < 0.1:
        text = rng.choice(_TEXTUAL)(rng, text)
    content = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.02 and content:
        place = rng.randrange(len(content))
        content = content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    return content


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the request, each as the keys that lead there."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, each in value.items():
            found += _places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value[:20]):
            found += _places(each, (*path, index))
    return found


def _pick(rng: random.Random, body: Body) -> tuple[Any, Any] | None:
    """Some place: what holds it, and its key there."""
    places = _places(body)
    if not places:
        return None
    *parents, last = rng.choice(places)
    holder: Any = body
    for step in parents:
        holder = holder[step]
    return holder, last


def _replace(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None:
        place[0][place[1]] = copy.deepcopy(rng.choice(NASTY))


def _drop(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None:
        del place[0][place[1]]


def _wrap(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None:
        holder, key = place
        holder[key] = rng.choice([[holder[key]], {"x": holder[key]}, [holder[key], holder[key]]])


def _repeat(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None and isinstance(place[0][place[1]], list):
        place[0][place[1]] = place[0][place[1]] * rng.choice((2, 11, 101))


def _rename(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None and isinstance(place[0], dict):
        place[0][rng.choice(NAMES)] = place[0].pop(place[1])


def _add(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None and isinstance(place[0], dict):
        place[0][rng.choice(NAMES)] = copy.deepcopy(rng.choice(NASTY))


def _move(rng: random.Random, body: Body) -> None:
    """A right value in a wrong place."""
    one, other = _pick(rng, body), _pick(rng, body)
    if one is not None and other is not None:
        other[0][other[1]] = copy.deepcopy(one[0][one[1]])


def _nest(rng: random.Random, body: Body) -> None:
    place = _pick(rng, body)
    if place is not None:
        holder, key = place
        for _ in range(rng.choice((5, 31, 33, 200))):
            holder[key] = rng.choice([[holder[key]], {"containerDefinitions": holder[key]}])


def _cut(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text) + 1)]


def _twice(rng: random.Random, text: str) -> str:
    """The same keys again, with other values; or all of it twice."""
    if text.startswith("{") and len(text) > 2:
        return rng.choice([text[:-1] + "," + text[1:], '{"family":7,' + text[1:], text + text])
    return text + text


def _strange_number(rng: random.Random, text: str) -> str:
    numbers = (
        "NaN",
        "-Infinity",
        "1e999999",
        "-0",
        "01",
        "1" * 5000,
        "0." + "0" * 5000 + "1",
        "+1",
    )
    return text.replace("64", rng.choice(numbers))


def _half_a_character(rng: random.Random, text: str) -> str:
    return text.replace("web", rng.choice(("\\ud800", "\\udfff\\ud800", "\\u0000", "\ud800")))


def _deep(rng: random.Random, text: str) -> str:
    depth = rng.choice((500, 5000))
    return rng.choice(("[" * depth, '{"a":' * depth + text + "}" * depth))


_STRUCTURAL: tuple[Callable[[random.Random, Body], None], ...] = (
    _replace,
    _replace,
    _replace,
    _drop,
    _wrap,
    _repeat,
    _rename,
    _add,
    _move,
    _nest,
)
_TEXTUAL: tuple[Callable[[random.Random, str], str], ...] = (
    _cut,
    _twice,
    _strange_number,
    _half_a_character,
    _deep,
)
