"""docs/configuration.md says of every setting what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import config
from agent.config.ecsnames import REFUSED, WITHOUT_EFFECT
from agent.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()


def rows(columns: int) -> dict[str, list[str]]:
    """By setting the other cells of the tables that have so many columns."""
    found = {}
    for line in PAGE.splitlines():
        cells = [each.strip() for each in line.strip("|").split(" | ")]
        name = re.fullmatch("`([A-Z][A-Z0-9_]+)`", cells[0])
        if name and len(cells) == columns:
            assert name[1] not in found, f"{name[1]} has two rows"
            found[name[1]] = cells[1:]
    return found


SETTINGS = rows(4)


def test_every_setting_has_a_row_and_no_other() -> None:
    assert set(SETTINGS) == set(config.names())


@pytest.mark.parametrize("name", config.names())
def test_a_row_has_the_default_the_values_and_the_meaning(name: str) -> None:
    default, allowed, meaning = SETTINGS[name]
    value = getattr(Settings(), config.names()[name])
    if default == "none":
        assert not value
    else:
        assert config.parsed(name, default.strip("`")) == value
    assert allowed
    assert meaning


def test_every_setting_without_effect_has_a_row_with_the_reason() -> None:
    assert rows(2) == {name: [why] for name, why in WITHOUT_EFFECT.items()}


def test_every_refused_setting_has_a_row_with_the_reason() -> None:
    assert {name: cells[-1] for name, cells in rows(3).items()} == {
        name: why for name, (_, why) in REFUSED.items()
    }


def test_every_source_is_named() -> None:
    for path in config.FILES:
        assert f"`{path}`" in PAGE
    assert config.JSON_FILE in PAGE
