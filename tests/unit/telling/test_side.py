"""What the settings make of all that answers questions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import load
from agent.engine.feed import Feed
from agent.telling.side import open_telling


@pytest.mark.parametrize(("hidden", "zone"), [("false", "eu-west-1a"), ("true", "")])
async def test_the_zone_of_the_host_may_be_left_out(tmp_path: Path, hidden: str, zone: str) -> None:
    said = {
        "HOSTLER_AVAILABILITY_ZONE": "eu-west-1a",
        "ECS_DISABLE_TASK_METADATA_AZ": hidden,
        "HOSTLER_INTROSPECTION_LISTEN": "off",
        "ECS_AUDIT_LOGFILE_DISABLED": "true",
    }
    settings = replace(load(said, {}, ()), state_dir=tmp_path)
    async with open_telling(settings, Feed()) as telling:
        assert telling.source.instance.zone == zone
