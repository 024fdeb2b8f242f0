"""Asking AWS's services, for a task or for the host itself.

boto3 is an extra that few hosts have, and large: it is loaded by the first call, in its thread.
Where the services are, the environment may say: AWS_ENDPOINT_URL and its like,
AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from metadata.credentials.keys import Keys
from metadata.credentials.loose import LooseThreads

T = TypeVar("T")

DEADLINE_S: Final = 30.0
"""For one call with its repetitions."""
_THREADS: Final = 4
_SHOWN: Final = 300  # characters of what a service says
_THROTTLING: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
)


class AwsError(Exception):
    """The answer is no until somebody mends what the text names. The text holds no secret."""


class AwsUnavailable(AwsError):
    """There is no answer now; another time there may be."""


class AwsUnusable(AwsError):
    """This host has nothing to ask with: it lacks boto3, or credentials of its own."""


@dataclass(frozen=True, slots=True)
class Question:
    """An operation by botocore's name, such as ``get_secret_value``, with its parameters.

    Without ``keys`` the host's own credentials are used, and without ``region`` boto3's own.
    """

    service: str
    operation: str
    parameters: dict[str, Any]
    region: str = ""
    keys: Keys | None = None


@dataclass(slots=True)
class Aws:
    """Asks in threads of its own, within ``deadline_s`` for each question."""

    deadline_s: float = DEADLINE_S
    _threads: LooseThreads = field(default_factory=lambda: LooseThreads(_THREADS, "aws"))

    async def ask(self, question: Question) -> dict[str, Any]:
        """The service's answer. Raises AwsUnavailable, AwsUnusable, AwsError."""
        return await self._do(question, partial(answer, question))

    async def content(self, question: Question, most: int) -> bytes:
        """The ``Body`` of the service's answer; AwsError also if it has over ``most`` bytes."""
        return await self._do(question, partial(content, question, most))

    async def _do(self, question: Question, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.deadline_s):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError:
            raise AwsUnavailable(
                f"{question.service} did not answer {question.operation} in {self.deadline_s:g} s"
            ) from None

    def close(self) -> None:
        """Waits for nothing: what is still answered is dropped."""
        self._threads.close()


def answer(question: Question) -> dict[str, Any]:
    """The service's answer. Blocking. Raises as ``Aws.ask``."""
    return _answered(question, lambda answered: answered)


def content(question: Question, most: int) -> bytes:
    """The body of the service's answer. Blocking. Raises as ``Aws.content``."""
    found = _answered(question, lambda answered: _read(answered["Body"], most + 1))
    if len(found) > most:
        raise AwsError(f"{question.service} answers {question.operation} with over {most} bytes")
    return found


def _read(body: Any, most: int) -> bytes:
    """botocore notices that a body broke off where its end is read."""
    found = b""
    while len(found) < most and (part := body.read(most - len(found))):
        found += part
    return found


def _answered(question: Question, take: Callable[[dict[str, Any]], T]) -> T:
    try:
        from botocore import exceptions
    except ImportError:
        raise AwsUnusable("boto3 is not installed: install Hostler with its extra 'aws'") from None
    service = question.service
    try:
        return take(getattr(_client(question), question.operation)(**question.parameters))
    except exceptions.ClientError as error:
        raise _refused(service, error.operation_name, error.response) from None
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
    ) as error:
        raise AwsUnavailable(f"{service} can't be reached: {error}") from None
    except exceptions.NoCredentialsError:
        raise AwsUnusable(f"{service} can't be asked: this host has no AWS credentials") from None
    except (exceptions.BotoCoreError, ValueError) as error:
        raise AwsError(f"{service} can't be asked: {error}") from None


def _client(question: Question) -> Any:
    """A client of its own: sessions are not for several threads, credentials may change."""
    import boto3
    from botocore.config import Config

    given = {}
    if question.keys is not None:
        given = {
            "aws_access_key_id": question.keys.access_key_id,
            "aws_secret_access_key": question.keys.secret_access_key,
            "aws_session_token": question.keys.session_token or None,
        }
    limits = Config(
        connect_timeout=5, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 2}
    )
    session = boto3.session.Session(**given)
    return session.client(question.service, region_name=question.region or None, config=limits)


def _refused(service: str, operation: str, response: Any) -> AwsError:
    code, said = response["Error"]["Code"], response["Error"].get("Message", "").strip()
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # What follows the first line may repeat the request, with a session token in it.
    first = said.splitlines()[0][:_SHOWN] if said else ""
    text = f"{service} refuses {operation}: {first} ({code})"
    passes = code in _THROTTLING or status >= 500
    return AwsUnavailable(text) if passes else AwsError(text)
