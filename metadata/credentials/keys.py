"""What credentials are, whose they are, and how obtaining them fails. Times: seconds, epoch."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from metadata.encoding import time_text
from metadata.source import Instant

_FIRST: Final = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class CredentialsError(Exception):
    """There are none until somebody mends what the text names. The text holds no secret."""


class CredentialsUnavailable(CredentialsError):
    """There are none now; another time there may be."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials as AWS has them. Long-term keys have an empty session token, and no end."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """A task that needs a role's credentials; `id` is what they are asked for by."""

    id: str = field(repr=False)
    role_arn: str
    task_arn: str


# Raises CredentialsError, and CredentialsUnavailable for what may pass.
Obtain = Callable[[Need], Awaitable[Keys]]


def second_text(at: float) -> str:
    """The time as all SDKs can read it: RFC 3339 in UTC, whole seconds, ending in `Z`.

    What is before year 1 or after year 9999 is shown as the first or the last that it can say.
    """
    return time_text(Instant(int(min(max(at, _FIRST), _LAST)) * 1_000_000_000))
