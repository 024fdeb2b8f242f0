"""Task protection: a task says that it must not be ended for reasons of economy, until some time.

Bodies and codes are those of ECS's `task-protection/v1/state`. Whether a task can be protected, and
for how long, is for the agent to say.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from metadata.agentapi.bodies import BodyError, ProtectionBody, parsed
from metadata.encoding import Json, optional_time, present
from metadata.front.asking import Answer, Asking, BodyRefused, shown
from metadata.source import Instant, Source, TaskFacts

DEADLINE_S: Final = 4.0
_BODY_LIMIT: Final = 4096
"""Bytes. An answer tells of each unknown key."""


@dataclass(frozen=True, slots=True)
class Protected:
    """Whether a task is protected, which is until `until`; None: it is not."""

    until: Instant | None


@dataclass(frozen=True, slots=True)
class Unprotectable:
    """Why the agent does not speak of a task's protection: one of ECS's failure reasons."""

    reason: str
    detail: str | None = None


class Refused(Exception):
    """The agent does not do it. `status` and `code` are those of the call of ECS's API."""

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id


class Failed(Exception):
    """The agent could not do it; the text says why."""


class Guardian(Protocol):
    """Who keeps protections; tasks are named by their ARN. All raise Failed."""

    async def protection(self, arn: str) -> Protected | Unprotectable:
        """What holds for the task now."""

    async def protect(self, arn: str, minutes: int | None) -> Protected | Unprotectable:
        """The task is protected from now on, for so many minutes or the usual time.

        Raises Refused.
        """

    async def unprotect(self, arn: str) -> Protected | Unprotectable:
        """The task is not protected any more."""


class Protection:
    """Answers for all tasks."""

    def __init__(self, source: Source, guardian: Guardian, deadline_s: float = DEADLINE_S) -> None:
        self._source = source
        self._guardian = guardian
        self._deadline_s = deadline_s

    async def show(self, asking: Asking, endpoint_id: str) -> Answer:
        """The state of the task with that container."""
        return await self._told(asking, endpoint_id, self._guardian.protection)

    async def change(self, asking: Asking, endpoint_id: str) -> Answer:
        """The state of the task with that container, as the body says it shall be from now on."""
        try:
            wanted = parsed(ProtectionBody, await asking.body(_BODY_LIMIT))
        except (BodyError, BodyRefused) as error:
            return _error(400, "InvalidParameterException", str(error))

        async def change(arn: str) -> Protected | Unprotectable:
            if wanted.protection_enabled:
                return await self._guardian.protect(arn, wanted.expires_in_minutes)
            return await self._guardian.unprotect(arn)

        return await self._told(asking, endpoint_id, change)

    async def _told(
        self,
        asking: Asking,
        endpoint_id: str,
        ask: Callable[[str], Awaitable[Protected | Unprotectable]],
    ) -> Answer:
        task = self._source.task(asking.owner, endpoint_id)
        if task is None or task.container(asking.owner, endpoint_id) is None:
            message = f"no container has the id {endpoint_id!r}"
            return _error(404, "ResourceNotFoundException", message)
        if task.role is None:
            message = "the task has no role: give its definition a taskRoleArn"
            return _error(403, "AccessDeniedException", message, task.arn)
        return await self._asked(task, ask)

    async def _asked(
        self, task: TaskFacts, ask: Callable[[str], Awaitable[Protected | Unprotectable]]
    ) -> Answer:
        try:
            async with asyncio.timeout(self._deadline_s):
                found = await ask(task.arn)
        except TimeoutError:
            message = f"the agent did not answer in {self._deadline_s:g} s: try again"
            return _error(504, "RequestCanceled", message, task.arn)
        except Refused as refusal:
            return _error(refusal.status, refusal.code, str(refusal), task.arn, refusal.request_id)
        except Failed as error:
            return _error(500, "ServerException", str(error), task.arn)
        return shown(_state(task.arn, found))


def _state(arn: str, found: Protected | Unprotectable) -> Json:
    if isinstance(found, Unprotectable):
        return {"failure": {"Arn": arn, "Detail": found.detail, "Reason": found.reason}}
    return {
        "protection": {
            "ExpirationDate": optional_time(found.until),
            "ProtectionEnabled": found.until is not None,
            "TaskArn": arn,
        }
    }


def _error(
    status: int, code: str, message: str, arn: str | None = None, request_id: str | None = None
) -> Answer:
    error = present({"Arn": arn, "Code": code, "Message": message})
    return shown(present({"error": error, "requestID": request_id}), status)
