"""The commented configuration file, made of the page of the documentation."""

from __future__ import annotations

import pytest

from agent import config
from deb import BuildError, settings

PAGE = settings.PAGE.read_text()


def test_every_setting_is_in_it_and_no_other() -> None:
    assert sorted(each.name for each in settings.read(PAGE)) == sorted(config.names())


def test_a_row_is_read_with_its_section() -> None:
    page = "## Names\n\n| `AA` | `1` | `1` or `2` | what `AA` is |\n| `BB` | none | text | more |\n"
    assert list(settings.read(page)) == [
        settings.Setting("Names", "AA", "1", "`1` or `2`", "what `AA` is"),
        settings.Setting("Names", "BB", "", "text", "more"),
    ]


def test_all_of_it_is_a_comment_in_lines_that_fit() -> None:
    lines = settings.commented(PAGE).splitlines()
    assert all(line.startswith("#") for line in lines if line)
    said = [line for line in lines if line.startswith("# ")]
    assert max(map(len, said)) <= 96
    assert "#HOSTLER_STATE_DIR=/var/lib/hostler" in lines
    assert "#HOSTLER_ENI_PARENT=" in lines
    assert not [line for line in said if "`" in line]


def test_a_page_without_settings_is_an_error() -> None:
    with pytest.raises(BuildError, match="has no table of settings any more"):
        list(settings.read("# Configuration\n"))
