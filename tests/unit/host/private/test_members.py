"""From a secret's text to a variable's value."""

import pytest

from agent.host.private.members import value
from agent.host.secrets import SecretError


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("hush", "", "hush"),
        ('{"a": 1}', "", '{"a": 1}'),
        ("", "", ""),
        ("two\nlines\n", "", "two\nlines\n"),
        ('{"a": "hush"}', "a", "hush"),
        ('{"a b": ""}', "a b", ""),
        ('{"port": 5432}', "port", "5432"),
        ('{"n": 1.50}', "n", "1.50"),
        ('{"n": 12345678901234567890}', "n", "12345678901234567890"),
        ('{"n": -1E+9}', "n", "-1E+9"),
        ('{"on": true}', "on", "true"),
        ('{"on": false}', "on", "false"),
    ],
)
def test_a_value_is_the_text_or_a_member(text: str, key: str, found: str) -> None:
    assert value(text, key) == found
    assert type(value(text, key)) is str


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("hush", "a", "it is not JSON, so there is no a in it"),
        ("[" * 100_000, "a", "it is not JSON, so there is no a in it"),
        ("[1]", "a", "it is not a JSON object with a member a"),
        ('{"b": "hush"}', "a", "it is not a JSON object with a member a"),
        ('{"a": null}', "a", "its member a is no text, number, true or false"),
        ('{"a": {"hush": 1}}', "a", "its member a is no text, number, true or false"),
        ('{"a": ["hush"]}', "a", "its member a is no text, number, true or false"),
        ("hu\0sh", "", "it holds a NUL character, which no variable can"),
        ('{"a": "hu\\u0000sh"}', "a", "it holds a NUL character, which no variable can"),
    ],
)
def test_what_is_no_value_is_told_without_being_quoted(text: str, key: str, told: str) -> None:
    with pytest.raises(SecretError) as failed:
        value(text, key)
    assert str(failed.value) == told
