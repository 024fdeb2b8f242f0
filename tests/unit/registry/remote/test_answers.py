"""How registries' own words come into our texts, and what they can't do there."""

import json

import pytest

from agent.registry.errors import RegistryError
from agent.registry.remote.answers import MAX_RETRY_AFTER_S, retry_after
from tests.unit.registry.remote.site import MANIFEST_OF_BODY, repository_at, saying

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("86400", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", MAX_RETRY_AFTER_S),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Oct 2015 07:28:30 GMT", None),
        ("Wed, 21 Oct 99999999999 07:28:30 GMT", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def errors(*entries: object) -> bytes:
    return json.dumps({"errors": list(entries)}).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (errors({"code": "A", "message": "b", "detail": "c"}), " (A: b)"),
        (errors({"code": "A"}, {"message": "b"}), " (A; b)"),
        (errors(), ""),
        (errors(7, None, {"code": 7}), ""),
        (b'{"errors":7}', ""),
        (b'{"details":"wrong password"}', " (wrong password)"),
        (b'{"error":"invalid_grant","error_description":"no more"}', " (no more)"),
        (b'{"error":"invalid_grant"}', " (invalid_grant)"),
        (b"<html>", ""),
        (b"[" * 50_000, ""),
        (b"\xff\xfe", ""),
        (errors({"code": "A", "message": "a\r\n\x1b[31mb\u202ec\u200b d"}), " (A: a [31mb c d)"),
        (errors({"code": "A", "message": "x" * 900}), f" (A: {'x' * 294}...)"),
        (errors({"code": "A", "message": "x" * 70_000}), ""),
    ],
)
async def test_words_of_a_registry(body: bytes, said: str) -> None:
    async with repository_at(saying(418, body)) as (repository, asked_of):
        with pytest.raises(RegistryError) as caught:
            await repository.manifest(MANIFEST_OF_BODY)
    assert str(caught.value) == f"{asked_of.host} answers 418 I'm a Teapot{said}"
