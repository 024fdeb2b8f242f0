"""Signatures: botocore's are believed, and nothing that differs from them by a single bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from agent.doors import sigv4
from agent.doors.errors import (
    ApiError,
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)
from agent.doors.sigv4 import Head, Key

KEY = Key("HOSTLER0000000000000", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY0000000000")
OTHER = Key("HOSTLER1111111111111", "another secret, of another key than that")
KEYS = {each.access_key_id: each for each in (KEY, OTHER)}
TARGET = "AmazonEC2ContainerServiceV20141113.ListTasks"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Sent:
    """A request as it is on the wire, and when it was signed."""

    head: Head
    body: bytes
    signed_at: float

    def with_header(self, name: str, value: str) -> Sent:
        headers = [(n, value if n.lower() == name.lower() else v) for n, v in self.head.headers]
        return replace(self, head=replace(self.head, headers=headers))

    def without_header(self, name: str) -> Sent:
        headers = [(n, v) for n, v in self.head.headers if n.lower() != name.lower()]
        return replace(self, head=replace(self.head, headers=headers))

    def header(self, name: str) -> str:
        return next(v for n, v in self.head.headers if n.lower() == name.lower())


def verify(sent: Sent, after_s: float = 0.0) -> str:
    claim = sigv4.claim(sent.head, KEYS, sent.signed_at + after_s)
    return claim.check(sent.body)


def signed(
    body: bytes = b"{}",
    *,
    headers: Headers = (("X-Amz-Target", TARGET), ("Content-Type", "application/x-amz-json-1.1")),
    url: str = "http://127.0.0.1:51680/",
    params: dict[str, str] | None = None,
    method: str = "POST",
    key: Key = KEY,
    service: str = "ecs",
    region: str = "local",
) -> Sent:
    """What botocore puts on the wire."""
    request = AWSRequest(method, url, dict(headers), body, params)
    credentials = Credentials(key.access_key_id, key.secret)
    SigV4Auth(credentials, service, region).add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    wire = [(_text(name), _text(value)) for name, value in prepared.headers.items()]
    signed_at = datetime.fromisoformat(_text(prepared.headers["X-Amz-Date"])).timestamp()
    head = Head(method, parts.path, parts.query, [("Host", parts.netloc), *wire])
    return Sent(head, body, signed_at)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.from_regex("[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).map("X-".__add__)
extra_headers = st.dictionaries(names.map(str.title), printable, max_size=4).map(
    lambda found: {n: v for n, v in found.items() if not n.lower().startswith("x-am")}
)


@given(
    body=st.binary(max_size=200),
    extra=extra_headers,
    params=st.dictionaries(words, words, max_size=4),
    path=st.lists(st.text("abc-_.~%2F", min_size=1, max_size=5), max_size=3),
    region=st.from_regex("[a-z]{2}-[a-z]{2,6}-[0-9]", fullmatch=True),
    key=st.sampled_from([KEY, OTHER]),
    order=st.randoms(use_true_random=False),
)
def test_what_botocore_signs_is_believed(
    body: bytes,
    extra: dict[str, str],
    params: dict[str, str],
    path: list[str],
    region: str,
    key: Key,
    order: Random,
) -> None:
    path = [each for each in path if set(each) != {"."}]
    sent = signed(
        body,
        headers=[("X-Amz-Target", TARGET), *extra.items()],
        url="http://[::1]:51680/" + "/".join(path),
        params=params,
        region=region,
        key=key,
    )
    shuffled = list(sent.head.headers)
    order.shuffle(shuffled)
    assert verify(replace(sent, head=replace(sent.head, headers=shuffled))) == key.access_key_id


@given(pairs=st.lists(st.tuples(words, words), max_size=4))
def test_a_query_counts_in_any_order(pairs: list[tuple[str, str]]) -> None:
    sent = signed(params=dict(pairs))
    turned = "&".join(reversed(sent.head.query.split("&")))
    assert verify(replace(sent, head=replace(sent.head, query=turned))) == KEY.access_key_id


def test_spaces_around_and_within_a_value_do_not_count() -> None:
    sent = signed(headers=[("X-Amz-Target", TARGET), ("X-Note", "a  b   c ")])
    assert verify(sent.with_header("X-Note", "  a b  c")) == KEY.access_key_id
    with pytest.raises(InvalidSignature):
        verify(sent.with_header("X-Note", "ab c"))


def test_a_header_that_comes_twice_counts_as_a_list() -> None:
    sent = signed(headers=[("X-Amz-Target", TARGET), ("X-Note", "a,b")])
    twice = [*sent.without_header("X-Note").head.headers, ("x-note", "a"), ("X-Note", "b")]
    assert verify(replace(sent, head=replace(sent.head, headers=twice))) == KEY.access_key_id
    with pytest.raises(InvalidSignature):
        verify(replace(sent, head=replace(sent.head, headers=[*twice, ("X-Note", "c")])))


def flipped(text: str, bit: int) -> str:
    data = bytearray(text.encode())
    data[bit // 8] ^= 1 << bit % 8
    return data.decode("utf-8", "surrogateescape")


SENT = signed(b'{"cluster": "default"}')
SIGNATURE_AT = SENT.header("Authorization").index("Signature=") + len("Signature=")


@pytest.mark.parametrize("name", ["Authorization", "X-Amz-Date", "X-Amz-Target", "Host"])
def test_a_single_wrong_bit_of_a_header_is_refused(name: str) -> None:
    value = SENT.header(name)
    for bit in range(len(value) * 8):
        wrong = flipped(value, bit)
        if " ".join(wrong.split()) == value:  # a space became another kind of space
            continue
        with pytest.raises(ApiError):
            verify(SENT.with_header(name, wrong))


def test_a_single_wrong_bit_of_the_signature_is_an_invalid_or_an_unreadable_one() -> None:
    value = SENT.header("Authorization")
    for bit in range(SIGNATURE_AT * 8, len(value) * 8):
        with pytest.raises((InvalidSignature, IncompleteSignature)):
            verify(SENT.with_header("Authorization", flipped(value, bit)))


def test_a_single_wrong_bit_of_the_body_is_refused() -> None:
    for bit in range(len(SENT.body) * 8):
        body = bytearray(SENT.body)
        body[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidSignature):
            verify(replace(SENT, body=bytes(body)))


@pytest.mark.parametrize("body", [b"", b"{}", SENT.body + b" "])
def test_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidSignature, match="does not match the signature you provided"):
        verify(replace(SENT, body=body))


@pytest.mark.parametrize(
    "head",
    [
        replace(SENT.head, method="PUT"),
        replace(SENT.head, path="/images"),
        replace(SENT.head, query="a=b"),
    ],
)
def test_another_request_is_refused(head: Head) -> None:
    with pytest.raises(InvalidSignature):
        verify(replace(SENT, head=head))


def test_a_body_can_not_be_declared_unsigned() -> None:
    unsigned = ("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")
    sent = signed(headers=[("X-Amz-Target", TARGET), unsigned])
    with pytest.raises(InvalidSignature):
        verify(sent)


@pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-target", "content-type"])
def test_what_decides_must_be_signed(name: str) -> None:
    value = SENT.header("Authorization")
    fewer = value.replace(f"{name};", "").replace(f";{name}", "")
    assert fewer != value
    with pytest.raises(InvalidSignature, match=f"'{name}' must be a 'SignedHeader'"):
        verify(SENT.with_header("Authorization", fewer))


@pytest.mark.parametrize("name", ["Host", "X-Amz-Date", "X-Amz-Target", "Content-Type"])
def test_a_signed_header_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(IncompleteSignature, match=f"'{name.lower()}' is in SignedHeaders, but not"):
        verify(SENT.without_header(name))


def test_a_request_without_content_type_need_not_sign_one() -> None:
    sent = signed(headers=[("X-Amz-Target", TARGET)])
    assert verify(sent) == KEY.access_key_id
    added = [*sent.head.headers, ("Content-Type", "text/plain")]
    with pytest.raises(InvalidSignature, match="'content-type' must be"):
        verify(replace(sent, head=replace(sent.head, headers=added)))


def test_a_request_without_a_signature_is_refused() -> None:
    with pytest.raises(MissingAuthenticationToken):
        verify(SENT.without_header("Authorization"))


@pytest.mark.parametrize(
    "value",
    ["", "Basic YTpi", "AWS4-HMAC-SHA256", SENT.header("Authorization") + "0", "\udcff" * 9],
)
def test_what_is_no_signature_is_refused(value: str) -> None:
    with pytest.raises(IncompleteSignature):
        verify(SENT.with_header("Authorization", value))


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(UnrecognizedClient):
        verify(signed(key=Key("HOSTLER2222222222222", KEY.secret)))


def test_another_secret_is_refused() -> None:
    with pytest.raises(InvalidSignature, match=KEY.access_key_id):
        verify(signed(key=Key(KEY.access_key_id, OTHER.secret)))


def test_a_signature_for_another_service_is_refused() -> None:
    with pytest.raises(InvalidSignature, match="correct service: 'ecs'"):
        verify(signed(service="s3"))


@pytest.mark.parametrize("after_s", [-300, 0, 300])
def test_a_clock_may_be_off_by_five_minutes(after_s: float) -> None:
    assert verify(SENT, after_s) == KEY.access_key_id


@pytest.mark.parametrize(
    ("after_s", "why"), [(301, "Signature expired"), (-301, "Signature not yet current")]
)
def test_a_signature_of_another_time_is_refused(after_s: float, why: str) -> None:
    with pytest.raises(InvalidSignature, match=why):
        verify(SENT, after_s)


@pytest.mark.parametrize(
    "date",
    ["", "today", "20261322T014318Z", "2026112T014318Z", "20261122T014318", "\u0660261122T014318Z"],
)
def test_what_is_no_time_is_refused(date: str) -> None:
    with pytest.raises(IncompleteSignature, match="X-Amz-Date must be a time"):
        verify(SENT.with_header("X-Amz-Date", date))


def test_the_day_of_the_key_is_the_day_of_the_request() -> None:
    other_day = SENT.header("Authorization").replace(SENT.header("X-Amz-Date")[:8], "20200101", 1)
    with pytest.raises(InvalidSignature, match="Date in Credential scope is 20200101"):
        verify(SENT.with_header("Authorization", other_day))


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["Authorization", "Host", "X-Amz-Date", "X-Amz-Target", "Content-Type"]
            ),
            st.text(max_size=30) | st.sampled_from([value for _, value in SENT.head.headers]),
        ),
        max_size=7,
    ),
    query=st.text(max_size=20),
)
def test_anything_else_is_refused_in_the_protocols_words(headers: Headers, query: str) -> None:
    head = replace(SENT.head, headers=headers, query=f"x&{query}")
    with pytest.raises(ApiError) as caught:
        verify(replace(SENT, head=head))
    assert caught.value.status == 400


def test_no_secret_is_shown() -> None:
    claim = sigv4.claim(SENT.head, KEYS, SENT.signed_at)
    assert KEY.secret not in repr(claim)
    assert claim.signature not in repr(claim)
