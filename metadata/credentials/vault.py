"""The credentials that tasks have now, by the id they are asked for by. In memory only.

They are refreshed before they expire, by one coroutine for all; expired ones are never given out.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from metadata.credentials.keys import (
    CredentialsError,
    CredentialsUnavailable,
    Keys,
    Need,
    Obtain,
    second_text,
)

_SPARE_S: Final = 15 * 60.0
"""SDKs ask for new credentials this long before the old ones expire: ours are newer by then."""
_RENEWED_S: Final = 15 * 60.0
"""Credentials without an end are obtained again so often, as somebody may have changed them; and
those that the host never had, as somebody may have added them."""
_LONGEST_DELAY_S: Final = 60.0
_LOOK_S: Final = 30.0
"""The loop's time stands still while a machine sleeps, and expirations don't."""

log = logging.getLogger(__name__)


class Uninitialized(Exception):
    """The credentials are not here yet; they are on their way."""


class Expired(Exception):
    """There are none that hold; the text says since when, and why."""


@dataclass(slots=True)
class _Lease:
    """What one task has of one role. `due` is when to obtain (again), `why` why that failed."""

    need: Need
    due: float
    keys: Keys | None = None
    why: str = ""
    tries: int = 0

    def is_due(self, now: float) -> bool:
        """Whether to obtain (again). What seems too far away is from before a clock was set back;
        only for the end of credentials is there no such limit."""
        endless = self.keys is None or self.keys.expires_at is None or bool(self.why)
        return self.due <= now or (endless and self.due > now + _RENEWED_S)


class Vault:
    """`obtain` gets new credentials, within a deadline of its own; `clock` is the wall clock."""

    def __init__(self, obtain: Obtain, clock: Callable[[], float]) -> None:
        self._obtain = obtain
        self._clock = clock
        self._leases: dict[str, _Lease] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    def holds(self, credentials_id: str) -> bool:
        """Whether the id is taken care of."""
        return credentials_id in self._leases

    async def obtain(self, need: Need) -> None:
        """The credentials are here, and will be kept fresh. Raises CredentialsError."""
        if need.id in self._leases and self._leases[need.id].keys is not None:
            return
        lease = _Lease(need, self._clock())
        self._take(lease, await self._fetch(need))
        self._leases[need.id] = lease
        self._changed.set()
        self._wake()

    def expect(self, need: Need) -> None:
        """The credentials will come by themselves, as soon as they can be had."""
        if need.id not in self._leases:
            self._leases[need.id] = _Lease(need, self._clock())
            self._changed.set()

    def forget(self, credentials_id: str) -> None:
        """Nothing is known of the id any more; also when nothing was."""
        self._leases.pop(credentials_id, None)

    async def settled(self, credentials_id: str, patience_s: float) -> None:
        """Returns when `keys` would not say Uninitialized, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not self._is_settled(credentials_id):
                    await self._settled.wait()

    def _is_settled(self, credentials_id: str) -> bool:
        lease = self._leases.get(credentials_id)
        return lease is not None and (lease.keys is not None or bool(lease.why))

    def _wake(self) -> None:
        """Whoever waits has a look."""
        self._settled.set()
        self._settled = asyncio.Event()

    def keys(self, credentials_id: str) -> Keys:
        """The credentials. Raises Uninitialized, Expired."""
        lease = self._leases.get(credentials_id)
        if lease is None or not self._is_settled(credentials_id):
            raise Uninitialized
        if lease.keys is None:
            raise Expired(f"credentials of role {lease.need.role_arn} can't be had: {lease.why}")
        if self._has_expired(lease.keys):
            self._changed.set()
            raise Expired(_expired(lease, lease.keys))
        return lease.keys

    async def lend(self, need: Need) -> Keys:
        """The credentials: those that are kept, or others that won't be. Raises CredentialsError.

        So one who needs them now neither waits for the loop nor leaves it anything to refresh.
        """
        try:
            return self.keys(need.id)
        except (Uninitialized, Expired):
            return await self._fetch(need)

    async def run(self) -> None:
        """Keeps all fresh, until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock()
            due = [each for each in self._leases.values() if each.is_due(now)]
            await asyncio.gather(*map(self._refresh, due))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._changed.wait()

    def _rest_s(self) -> float:
        first = min((each.due for each in self._leases.values()), default=float("inf"))
        return min(max(first - self._clock(), 0.0), _LOOK_S)

    async def _refresh(self, lease: _Lease) -> None:
        try:
            keys = await self._fetch(lease.need)
        except CredentialsError as error:
            self._note(lease, error)
            self._wake()
        else:
            if lease.why:
                log.info(
                    "role %s of task %s has credentials again",
                    *(lease.need.role_arn, lease.need.task_arn),
                    extra={"TASK_ARN": lease.need.task_arn},
                )
            self._take(lease, keys)
            self._wake()

    async def _fetch(self, need: Need) -> Keys:
        keys = await self._obtain(need)
        if keys.expires_at is not None and self._has_expired(keys):
            at = second_text(keys.expires_at)
            raise CredentialsUnavailable(f"the credentials that were given expired at {at}")
        return keys

    def _take(self, lease: _Lease, keys: Keys) -> None:
        now = self._clock()
        lease.keys, lease.why, lease.tries = keys, "", 0
        if keys.expires_at is None:
            lease.due = now + _RENEWED_S
        else:
            lease.due = keys.expires_at - min((keys.expires_at - now) / 3, _SPARE_S)

    def _note(self, lease: _Lease, error: CredentialsError) -> None:
        needed, why = lease.keys is not None, str(error)
        passes = needed or isinstance(error, CredentialsUnavailable)
        lease.due = self._clock() + (
            min(2.0**lease.tries, _LONGEST_DELAY_S) if passes else _RENEWED_S
        )
        lease.tries += 1
        if why != lease.why:
            log.log(
                logging.WARNING if needed else logging.INFO,
                "can't get credentials of role %s for task %s: %s",
                *(lease.need.role_arn, lease.need.task_arn, why),
                extra={"TASK_ARN": lease.need.task_arn},
            )
        lease.why = why

    def _has_expired(self, keys: Keys) -> bool:
        return keys.expires_at is not None and keys.expires_at <= self._clock()


def _expired(lease: _Lease, keys: Keys) -> str:
    since = second_text(keys.expires_at or 0)
    why = lease.why or "new ones are being obtained"
    return f"credentials of role {lease.need.role_arn} are expired since {since}: {why}"
