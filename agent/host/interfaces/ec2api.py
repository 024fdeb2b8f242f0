"""Asking EC2: calls off the event loop, each with a deadline, and errors as the providers' own.

Imports boto3, so this is loaded only where EC2 is chosen.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Collection
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
)

from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted

METADATA_SERVICE = "169.254.169.254"
DEADLINE_S = 45.0
"""For one call with its repetitions, which botocore spaces by at most some seconds."""
_TIMEOUTS = Config(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}
)
_METADATA_TIMEOUT_S = 2.0

_PASSING = frozenset(
    {
        "AttachmentLimitExceeded",
        "InsufficientFreeAddressesInSubnet",
        "InternalError",
        "InternalFailure",
        "NetworkInterfaceLimitExceeded",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
    }
)
"""EC2's codes for what another time, or after something else has ended, would succeed."""
_FORBIDDEN = frozenset({"AccessDenied", "UnauthorizedOperation"})


def client(region: str) -> Any:
    """A boto3 client of EC2 with time limits. Raises InterfaceError. Blocks while it loads."""
    try:
        return boto3.client("ec2", region_name=region, config=_TIMEOUTS)
    except BotoCoreError as error:
        raise InterfaceError(f"EC2 can't be used: {error}") from error


class Api:
    """EC2's operations by botocore's names, such as ``describe_instances``."""

    def __init__(self, client: Any, deadline_s: float = DEADLINE_S) -> None:
        self._client = client
        self._deadline_s = deadline_s

    async def call(
        self, operation: str, *, unless: Collection[str] = (), **request: Any
    ) -> dict[str, Any] | None:
        """EC2's answer; None when it refuses with one of the codes ``unless``.

        Raises InterfacesExhausted for what may pass, else InterfaceError.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                answer: dict[str, Any] = await asyncio.to_thread(
                    getattr(self._client, operation), **request
                )
        except ClientError as error:
            if error.response["Error"]["Code"] in unless:
                return None
            raise _refused(error) from error
        except TimeoutError as error:
            raise InterfacesExhausted(f"EC2 does not answer {operation}") from error
        except (ConnectionError, HTTPClientError) as error:
            raise InterfacesExhausted(f"EC2 can't be reached: {error}") from error
        except BotoCoreError as error:
            raise InterfaceError(f"EC2 can't be used: {error}") from error
        return answer

    async def ask(self, operation: str, **request: Any) -> dict[str, Any]:
        """EC2's answer. Raises as ``call``."""
        answer = await self.call(operation, **request)
        assert answer is not None, "only what is in `unless` gives None"
        return answer


def _refused(error: ClientError) -> InterfaceError | InterfacesExhausted:
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    text = f"EC2 refuses {error.operation_name}: {message} ({code})"
    if code in _PASSING:
        return InterfacesExhausted(text)
    if code in _FORBIDDEN:
        text += f"; allow ec2:{error.operation_name} to the role of this instance"
    return InterfaceError(text)


async def metadata(path: str, address: str = METADATA_SERVICE) -> str:
    """What the instance metadata service (IMDSv2) says below ``/latest/meta-data/``.

    Raises InterfaceError.
    """
    try:
        return await asyncio.to_thread(_metadata, path, address)
    except (OSError, http.client.HTTPException) as error:
        raise InterfaceError(
            f"the instance metadata service does not tell {path} ({error}): "
            "where there is none, set HOSTLER_EC2_INSTANCE_ID and AWS_DEFAULT_REGION"
        ) from error


def _metadata(path: str, address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=_METADATA_TIMEOUT_S)
    try:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _answer(connection, "PUT", "/latest/api/token", lifetime)
        proof = {"X-aws-ec2-metadata-token": token}
        return _answer(connection, "GET", f"/latest/meta-data/{path}", proof)
    finally:
        connection.close()


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> str:
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace").strip()
    if answer.status != http.client.OK:
        raise OSError(f"{method} {path} was answered with status {answer.status}")
    return text
