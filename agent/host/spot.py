"""Notices that this host is about to be taken away: EC2's spot interruption, or a file.

The file (HOSTLER_SPOT_NOTICE) is for hosts whose end somebody else foretells: once it exists, that
is the notice. What is in it may be a notice as EC2 words it, or anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout

from agent.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 1.0
"""As often as the ECS agent asks."""

_TIMEOUT = ClientTimeout(total=2.0)
_TOKEN_LIFE_S = 6 * 3600
_LONGEST_NOTICE = 4096
_LONGEST_TOKEN = 1024


class MetadataError(Exception):
    """The instance metadata service gives no answer, or none that can be read."""


@dataclass(frozen=True, slots=True)
class Notice:
    """``action`` is what will be done to the host, ``at`` when, if that was told (RFC 3339)."""

    action: str
    at: str = ""


def watched(settings: Settings) -> bool:
    """Whether anybody may give notice."""
    return settings.spot_draining or settings.spot_notice is not None


async def noticed(settings: Settings, poll_s: float = POLL_S) -> Notice:
    """Returns with the first notice. Whoever can't be asked is asked again, and told of once."""
    async with ClientSession(timeout=_TIMEOUT) as session:
        service = MetadataService(session, settings.metadata_service)
        silent = ""
        while True:
            notice = await asyncio.to_thread(_in_file, settings.spot_notice)
            if notice is None and settings.spot_draining:
                try:
                    notice, silent = await service.notice(), ""
                except MetadataError as error:
                    if str(error) != silent:
                        log.warning("can't ask for spot notices: %s", error)
                    silent = str(error)
            if notice is not None:
                return notice
            await asyncio.sleep(poll_s)


class MetadataService:
    """EC2's instance metadata service (IMDSv2) at ``address``."""

    def __init__(self, session: ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self._token = ""

    async def notice(self) -> Notice | None:
        """What is planned for this instance, if anything. Raises MetadataError."""
        try:
            return await self._notice()
        except TimeoutError as error:
            raise MetadataError(f"{self._address} does not answer") from error
        except (ClientError, UnicodeError) as error:
            raise MetadataError(f"{self._address}: {error}") from error

    async def _notice(self) -> Notice | None:
        status, text = await self._ask()
        if status == 401:  # the token has run out
            self._token = ""
            status, text = await self._ask()
        if status == 404:
            return None
        notice = _read(text) if status == 200 else None
        if notice is None:
            raise MetadataError(f"{self._address} answers with status {status}: {text[:80]!r}")
        return notice

    async def _ask(self) -> tuple[int, str]:
        if not self._token:
            life = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_LIFE_S)}
            url = f"{self._address}/latest/api/token"
            async with self._session.put(url, headers=life) as answer:
                if answer.status != 200:
                    raise MetadataError(f"{self._address} gives no token: status {answer.status}")
                token = (await answer.content.read(_LONGEST_TOKEN)).decode("ascii").strip()
                if not token.isprintable():  # no header can have it
                    raise MetadataError(f"{self._address} gives no token: {token[:80]!r}")
                self._token = token
        proof = {"X-aws-ec2-metadata-token": self._token}
        url = f"{self._address}/latest/meta-data/spot/instance-action"
        async with self._session.get(url, headers=proof) as answer:
            return answer.status, (await answer.content.read(_LONGEST_NOTICE)).decode()


def _in_file(path: Path | None) -> Notice | None:
    """The notice that the file is, whatever it says."""
    if path is None:
        return None
    try:
        with path.open(errors="replace") as file:
            return _read(file.read(_LONGEST_NOTICE)) or Notice("terminate")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("can't read %s, so it counts as a notice: %s", path, error)
        return Notice("terminate")


def _read(text: str) -> Notice | None:
    """A notice as EC2 words it: ``{"action": "terminate", "time": "..."}``."""
    try:
        found = json.loads(text)
        return Notice(str(found["action"]), str(found.get("time", "")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
