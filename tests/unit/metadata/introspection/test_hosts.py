"""Tests of what a Host header may say."""

import pytest

from metadata.introspection.hosts import is_local


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:51678",
        "10.0.0.7:51678",
        "localhost",
        "LocalHost:51678",
        "[::1]",
        "[::1]:51678",
        "[2001:db8::7]:80",
        " 127.0.0.1 ",
        ":51678",
    ],
)
def test_an_address_or_localhost_is_a_program_of_the_host(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:51678",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "2130706433",
        "0x7f.1",
        "[evil.example]:80",
        "[::1",
        "::1",
        "[::1]evil",
        "127.0.0.1:80:90",
        "127.0.0.1, evil.example",
        "user@127.0.0.1",
    ],
)
def test_any_other_name_may_be_that_of_a_web_page(host: str) -> None:
    assert not is_local(host)
