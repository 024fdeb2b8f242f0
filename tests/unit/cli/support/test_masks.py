"""What is masked in texts, and what is left alone."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from agent.cli.support.masks import Masks

SECRET = 'pa"ss wörd/9'


def mask(text: str, *known: str) -> str:
    masks = Masks()
    masks.learn(known)
    return masks.mask(text)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        quote(SECRET, safe=""),
        b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_a_known_value_in_every_form(form: str) -> None:
    assert mask(f"<{form}>", SECRET) == "<(hidden)>"


def test_of_several_lines_each_is_secret() -> None:
    assert mask("a first line, then", "first line\nsecond line\n") == "a (hidden), then"


def test_parts_of_a_command_that_may_be_secret_are_secret() -> None:
    command = "curl -s --cacert /etc/ssl/certs/ca.pem -H 'X: 9f8e7d6c5b4a39281706' health.test"
    assert mask("sent 9f8e7d6c5b4a39281706", command) == "sent (hidden)"
    assert mask("read /etc/ssl/certs/ca.pem", command) == "read /etc/ssl/certs/ca.pem"
    assert mask("asked health.test", command) == "asked health.test"


def test_one_that_is_part_of_another_hides_no_less() -> None:
    assert mask("long-secret-and-more", "long-secret", "long-secret-and-more") == "(hidden)"


def test_short_values_are_words_of_any_text() -> None:
    assert mask("true blue", "true", "", "  ") == "true blue"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sent rate", "sent (hidden)"),
        ("rate: 'rate'/rate-rate", "(hidden): '(hidden)'/(hidden)-(hidden)"),
        ("generated, _rate, rates, rate7", "generated, _rate, rates, rate7"),
        ('{"x": "a\\"bc"}', '{"x": "(hidden)"}'),
        ("sent a%22bc", "sent (hidden)"),
        (f"sent {b64encode(b'rate').decode()}", "sent (hidden)=="),
        ("rat abc true", "rat abc true"),
    ],
)
def test_a_secret_that_is_short_is_hidden_as_a_word(text: str, masked: str) -> None:
    masks = Masks()
    masks.learn_secrets(["rate", 'a"bc', "abc", " rat "])
    masks.learn(["true"])
    assert masks.mask(text) == masked


def test_the_form_of_a_short_value_is_not_hidden_where_the_value_is_not() -> None:
    encoded = b64encode(b"enable").decode()
    assert mask(f"enable {encoded}", "enable") == f"enable {encoded}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key AKIAABCDEFGHIJKLMNOP used", "key (hidden) used"),
        ("key HOSTLERABCDEFGHIJKLM used", "key (hidden) used"),
        ("GET http://me:pw@proxy.test:80/x", "GET http://(hidden)@proxy.test:80/x"),
        ("Authorization: Bearer abcdef0123", "Authorization: (hidden) (hidden)"),
        ("sent basic dXNlcjpwdw==", "sent basic (hidden)"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln end", "jwt (hidden) end"),
        ("GET /v2/credentials/0a1b2c3d-4e5f-6789", "GET /v2/credentials/(hidden)"),
        ("password=hunter2 user=me", "password=(hidden) user=me"),
        ('{"token": "abc", "n": 1}', '{"token": (hidden), "n": 1}'),
        ("run --api-key abc --x", "run --api-key (hidden) --x"),
        ("DB_PASSWORD='a b c' ok", "DB_PASSWORD=(hidden) ok"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nok",
            "(hidden)\nok",
        ),
        ("-----BEGIN PRIVATE KEY-----\ncut", "(hidden)"),
        ("GET http://me:p@w@proxy.test/x", "GET http://(hidden)@proxy.test/x"),
        (r'{"password": "a\"b c", "n": 1}', '{"password": (hidden), "n": 1}'),
        (r'"{\"password\": \"a b\", \"n\": 1}"', r'"{\"password\": (hidden), \"n\": 1}"'),
        ('DB_PASSWORD="a b', "DB_PASSWORD=(hidden)"),
        ("run --api-key 'a b' --x", "run --api-key (hidden) --x"),
    ],
)
def test_what_looks_like_a_secret(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "task 0a1b2c3d4e5f (web:1) runs: cgroup /hostler/0a1b2c3d4e5f",
        "https://registry.test/v2/app/manifests/1",
        "CannotPullContainerError: registry.test/app:1 not found",
        "10.213.0.9/16 dev hostler0 scope global",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    assert mask(text) == text


def test_json_stays_json() -> None:
    masks = Masks()
    masks.learn(["the-secret"])
    told = {"a": ["password=the-secret", 1, None], "the-secret": {"b": True}, "c": ("x",)}
    assert masks.mask_all(told) == {
        "a": ["password=(hidden)", 1, None],
        "(hidden)": {"b": True},
        "c": ["x"],
    }


def test_what_is_learned_late_counts() -> None:
    masks = Masks()
    assert masks.mask("late-secret") == "late-secret"
    masks.learn(["late-secret"])
    assert masks.mask("late-secret") == "(hidden)"


def test_a_known_value_that_begins_in_another_is_hidden_to_its_end() -> None:
    known = ("secret is A", "A-real-secret", "real-sec")
    assert mask("the secret is A-real-secret, he said", *known) == "the (hidden), he said"


@pytest.mark.parametrize(
    "text",
    [
        "token" * 10_000,
        "token-" * 10_000,
        "-" * 100_000,
        "eyJ-" * 50_000,
        "password" + " " * 100_000,
        'password="' + "\\" * 100_000,
        "-----BEGIN PRIVATE KEY-----" * 1_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """Each of these took hours, or would have, with a pattern that goes back for another try."""
    assert mask(text + "\nend of it") is not None


def test_no_number_of_known_values_takes_long() -> None:
    """One search of the text for each of them took minutes."""
    masks = Masks()
    masks.learn(f"word-{number:x}" for number in range(0xA0000, 0xD0000))
    text = "2026-11-26 host hostler[1]: word-b1234 word-e1234\n" * 10_000
    assert "word-e1234" in masks.mask(text)
    assert "word-b1234" not in masks.mask(text)


def test_a_key_without_an_end_does_not_hide_all_that_follows() -> None:
    masked = mask("-----BEGIN PRIVATE KEY-----" + "x" * 20_000 + "\nthe rest")
    assert masked.startswith("(hidden)")
    assert masked.endswith("\nthe rest")
