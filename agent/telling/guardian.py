"""The agent's side of task protection as tasks themselves ask for it (``metadata.agentapi``)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import StoreError
from agent.task import protection
from agent.task.model import Protection, TaskId
from metadata.agentapi.protection import Failed, Protected, Refused, Unprotectable
from metadata.source import Instant


@dataclass(frozen=True, slots=True)
class FleetGuardian:
    """``metadata.agentapi.protection.Guardian``."""

    fleet: Fleet
    feed: Feed
    clock: Callable[[], float]

    async def protection(self, arn: str) -> Protected | Unprotectable:
        """What holds for the task now."""
        picture = self._found(arn)
        return picture if isinstance(picture, Unprotectable) else self._state(picture)

    async def protect(self, arn: str, minutes: int | None) -> Protected | Unprotectable:
        """The task is protected. Raises Refused for a wrong number of minutes, Failed."""
        try:
            wanted = protection.lasting(minutes, self.clock())
        except ValueError as error:
            code = "InvalidParameterException"
            raise Refused(400, code, str(error), str(uuid.uuid4())) from error
        return await self._want(arn, wanted)

    async def unprotect(self, arn: str) -> Protected | Unprotectable:
        """The task is not protected any more. Raises Failed."""
        return await self._want(arn, None)

    async def _want(self, arn: str, wanted: Protection | None) -> Protected | Unprotectable:
        picture = self._found(arn)
        if isinstance(picture, Unprotectable):
            return picture
        try:
            await self.fleet.protect(picture.intent.task.id, wanted)
        except StoreError as error:
            raise Failed(str(error)) from error
        return await self.protection(arn)

    def _found(self, arn: str) -> Picture | Unprotectable:
        picture = self.feed.pictures.get(TaskId(arn.rpartition("/")[2]))
        if picture is None:
            return Unprotectable("MISSING")
        if not protection.possible(picture.intent, picture.progress):
            return Unprotectable(protection.NOT_VALID, "the task is stopping")
        return picture

    def _state(self, picture: Picture) -> Protected:
        until = protection.until(picture.intent, self.clock())
        return Protected(None if until is None else Instant(int(until * 1e9)))
