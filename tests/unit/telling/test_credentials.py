"""The settings of tasks' credentials: which roles file, which log, which region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.settings import Settings
from agent.telling.credentials import aws_region, open_credentials
from metadata.credentials.keys import Need
from metadata.front.asking import Asking
from metadata.source import RoleFacts
from tests.unit.metadata.facts import BARE_TASK, OWNER, Picture

ROLE = "arn:aws:iam::111122223333:role/web"
TASK = replace(BARE_TASK, role=RoleFacts("id-1", ROLE))


async def asked(settings: Settings) -> int:
    """The status that the task gets whose role is in the roles file."""
    settings.task_roles.touch(mode=0o600)
    settings.task_roles.write_text("[default]\naws_access_key_id=A\naws_secret_access_key=s\n")
    async with open_credentials(settings, Picture([TASK])) as credentials:
        await credentials.vault.obtain(Need("id-1", ROLE, TASK.arn))
        room = credentials.rooms["v2/credentials"]
        assert credentials.rooms["v1/credentials"] is room
        return (await room.answer(Asking(OWNER, "GET", "/v2/credentials/id-1"))).status


async def test_the_roles_file_and_the_log_are_where_the_settings_say(tmp_path: Path) -> None:
    roles, audit = tmp_path / "roles", tmp_path / "audit.log"
    settings = replace(Settings(), task_roles=roles, audit_log=audit)
    assert await asked(settings) == 200
    assert " 200 " in audit.read_text()
    audit.unlink()
    assert await asked(replace(settings, audit_log_disabled=True)) == 200
    assert not audit.exists()


def test_a_local_host_is_in_no_region() -> None:
    assert aws_region(Settings()) == ""
    assert aws_region(replace(Settings(), region="xx-test-1")) == "xx-test-1"
