"""The credentials of tasks' roles, put together from the settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.settings import LOCAL_REGION, Settings
from metadata.credentials.audit import Audit
from metadata.credentials.roles import RolesFile
from metadata.credentials.room import PREFIXES, CredentialsRoom
from metadata.credentials.vault import Vault
from metadata.front.asking import Room
from metadata.source import Source


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where they are kept, where they are asked for, and where that is written down."""

    vault: Vault
    rooms: Mapping[str, Room]
    audit: Audit


@asynccontextmanager
async def open_credentials(settings: Settings, source: Source) -> AsyncIterator[Credentials]:
    """All of it, the vault being empty: whose credentials they are is in the tasks."""
    roles = RolesFile(settings.task_roles, aws_region(settings))
    vault = Vault(roles.obtain, time.time)
    path = None if settings.audit_log_disabled else settings.audit_log
    audit = Audit(path, source.instance, time.time)
    room = CredentialsRoom(source, vault, audit, time.time)
    try:
        yield Credentials(vault, dict.fromkeys(PREFIXES, room), audit)
    finally:
        await asyncio.to_thread(audit.close)
        roles.close()


def aws_region(settings: Settings) -> str:
    """AWS's region that this host is in, "" for none."""
    return "" if settings.region == LOCAL_REGION else settings.region
