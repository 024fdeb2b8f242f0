"""Credentials from AWS STS: AssumeRole with the host's own credentials.

Imports boto3, so this is loaded only where the roles file says `source = sts`.
"""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
)

from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need

DEADLINE_S: Final = 30.0
_TIMEOUTS: Final = Config(
    connect_timeout=5, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2}
)
_THROTTLING: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
)


@dataclass(frozen=True, slots=True)
class Assumed:
    """How a role is assumed. None and "" leave the choice to STS and to boto3's own settings.

    `role_arn` is assumed in the place of the task's role.
    """

    role_arn: str = ""
    duration_seconds: int | None = None
    external_id: str = ""
    region: str = ""
    endpoint_url: str = ""


@dataclass(frozen=True, slots=True)
class StsSource:
    """Assumes roles, the task's id being the name of the session. Blocks only `threads`."""

    assumed: Assumed
    threads: Executor
    deadline_s: float = DEADLINE_S

    async def obtain(self, need: Need) -> Keys:
        """The session's credentials. Raises CredentialsError, CredentialsUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.deadline_s):
                return await loop.run_in_executor(self.threads, self._assume, need)
        except TimeoutError:
            raise CredentialsUnavailable(
                f"STS did not answer AssumeRole in {self.deadline_s:g} s"
            ) from None

    def _assume(self, need: Need) -> Keys:
        try:
            answer = self._client().assume_role(**self._request(need))
        except ClientError as error:
            raise _refused(error) from None
        except (ConnectionError, HTTPClientError) as error:
            raise CredentialsUnavailable(f"STS can't be reached: {error}") from None
        except (BotoCoreError, ValueError) as error:
            raise CredentialsError(f"STS can't be used by the agent: {error}") from None
        given = answer["Credentials"]
        return Keys(
            access_key_id=given["AccessKeyId"],
            secret_access_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
            expires_at=given["Expiration"].timestamp(),
        )

    def _client(self) -> Any:
        """A client of its own: sessions are not for several threads, credentials may change."""
        return boto3.session.Session().client(
            "sts",
            region_name=self.assumed.region or None,
            endpoint_url=self.assumed.endpoint_url or None,
            config=_TIMEOUTS,
        )

    def _request(self, need: Need) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "RoleArn": self.assumed.role_arn or need.role_arn,
            "RoleSessionName": need.task_arn.rpartition("/")[2],
        }
        if self.assumed.duration_seconds is not None:
            asked["DurationSeconds"] = self.assumed.duration_seconds
        if self.assumed.external_id:
            asked["ExternalId"] = self.assumed.external_id
        return asked


def _refused(error: ClientError) -> CredentialsError:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"STS refuses AssumeRole: {message} ({code})"
    passes = code in _THROTTLING or status >= 500
    return CredentialsUnavailable(text) if passes else CredentialsError(text)
