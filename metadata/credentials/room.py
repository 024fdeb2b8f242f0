"""The room of versions 1 and 2 of the credentials endpoint.

    /v2/credentials/ID        /v1/credentials?id=ID

Whose an id is, is looked up among the tasks of the socket's owner only: the id of another task is
an unknown one. On the host's network anybody may come, so there a token must be shown as well.
"""

import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from metadata.credentials.audit import EXECUTION_ROLE, TASK_ROLE, Audit, Given
from metadata.credentials.keys import Keys, second_text
from metadata.credentials.vault import Expired, Uninitialized, Vault
from metadata.front.asking import NOT_FOUND, Answer, Asking, shown
from metadata.source import RoleFacts, Source, TaskFacts

PREFIXES: Final = ("v1/credentials", "v2/credentials")

_V1: Final = "/v1/credentials"
_V2: Final = re.compile(r"/v2/credentials/([^/]*)")
_PATIENCE_S: Final = 0.8
"""For credentials on their way, as after a restart; several SDKs give up after a second."""
_ENDLESS_S: Final = 3600.0
"""SDKs insist on an expiration: what has none is shown to hold so much longer."""


@dataclass(eq=False)
class _Refusal(Exception):
    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """A role that the asking task may use."""

    task: TaskFacts
    role: RoleFacts
    event: str


class CredentialsRoom:
    """`front.asking.Room` for the paths below PREFIXES."""

    def __init__(
        self,
        source: Source,
        vault: Vault,
        audit: Audit,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._vault = vault
        self._audit = audit
        self._clock = clock

    async def answer(self, asking: Asking) -> Answer:
        """Credentials, or why there are none; each such request is in the audit log."""
        asked = _asked(asking)
        if asked is None:
            return NOT_FOUND
        version, credentials_id = asked
        try:
            claim = self._claim(asking, credentials_id)
            await self._vault.settled(claim.role.id, _PATIENCE_S)
            answer = self._shown(claim.role)
        except _Refusal as refusal:
            await self._audit.record(asking, refusal.status)
            return _refused(refusal, version)
        await self._audit.record(asking, answer.status, Given(claim.task.arn, claim.event))
        return answer

    def _claim(self, asking: Asking, credentials_id: str) -> _Claim:
        """Whose the id is. Raises _Refusal."""
        if not credentials_id:
            raise _Refusal(400, "NoIdInRequest", "the request names no credentials id")
        tasks = [each for each in self._source.owned(asking.owner) if each.owner == asking.owner]
        claims = [claim for task in tasks for claim in _claims(task)]
        if any(each.network_mode == "host" for each in tasks):
            token = asking.headers.get("Authorization", "")
            # Who has no token learns nothing of ids; who has one learns of those that go with it.
            claims = [each for each in claims if each.role.token and _same(each.role.token, token)]
            if not claims:
                text = "the Authorization header has no token that this host knows"
                raise _Refusal(401, "InvalidTokenInRequest", text)
        for claim in claims:
            if _same(claim.role.id, credentials_id):
                return claim
        raise _Refusal(400, "InvalidIdInRequest", "no role of this task has the credentials id")

    def _shown(self, role: RoleFacts) -> Answer:
        try:
            keys = self._vault.keys(role.id)
        except Uninitialized:
            text = "the credentials are not here yet; ask again"
            raise _Refusal(503, "CredentialsUninitialized", text) from None
        except Expired as error:
            raise _Refusal(500, "InternalServerError", str(error)) from None
        return shown(
            {
                "RoleArn": role.arn,
                "AccessKeyId": keys.access_key_id,
                "SecretAccessKey": keys.secret_access_key,
                "Token": keys.session_token,
                "Expiration": second_text(self._expires_at(keys)),
            }
        )

    def _expires_at(self, keys: Keys) -> float:
        return self._clock() + _ENDLESS_S if keys.expires_at is None else keys.expires_at


def _asked(asking: Asking) -> tuple[int, str] | None:
    """The version and the id that is asked for; None for a path that means nothing."""
    if asking.path == _V1:
        return 1, parse_qs(asking.query).get("id", [""])[0]
    match = _V2.fullmatch(asking.path)
    return None if match is None else (2, match[1])


def _claims(task: TaskFacts) -> Iterator[_Claim]:
    for role, event in ((task.role, TASK_ROLE), (task.execution_role, EXECUTION_ROLE)):
        if role is not None and role.id:
            yield _Claim(task, role, event)


def _same(known: str, shown: str) -> bool:
    """Takes as long for a near miss as for any other text."""
    return hmac.compare_digest(known.encode(), shown.encode(errors="replace"))


def _refused(refusal: _Refusal, version: int) -> Answer:
    return shown(
        {
            "code": refusal.code,
            "message": f"CredentialsV{version}Request: {refusal.message}",
            "HTTPErrorCode": refusal.status,
        },
        refusal.status,
    )
