"""Credentials that a program prints, as AWS's tools run one for `credential_process`.

Reference: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metadata.credentials import program
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need
from metadata.credentials.program import ProgramError, ProgramUnavailable

DEADLINE_S: Final = 30.0


class _Printed(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    version: Literal[1] = Field(alias="Version")
    access_key_id: str = Field(alias="AccessKeyId", min_length=1)
    secret_access_key: str = Field(alias="SecretAccessKey", min_length=1)
    session_token: str | None = Field(default=None, alias="SessionToken")
    expiration: datetime | None = Field(default=None, alias="Expiration")


@dataclass(frozen=True, slots=True)
class ProcessSource:
    """Runs `command`, split into words as a shell would, with the agent's environment.

    HOSTLER_ROLE_ARN and HOSTLER_TASK_ARN tell it what it is asked for.
    """

    command: str
    deadline_s: float = DEADLINE_S

    async def obtain(self, need: Need) -> Keys:
        """What the program prints. Raises CredentialsError, CredentialsUnavailable."""
        words = self.words()
        whose = {"HOSTLER_ROLE_ARN": need.role_arn, "HOSTLER_TASK_ARN": need.task_arn}
        who = f"credential_process {words[0]}"
        try:
            outcome = await program.run(words, program.inherited() | whose, self.deadline_s)
        except ProgramUnavailable as error:
            raise CredentialsUnavailable(f"{who} {error}") from None
        except ProgramError as error:
            raise CredentialsError(f"{who} {error}") from None
        if outcome.code != 0:
            said = program.last_line(outcome.said)  # by AWS's rules it holds no secret
            raise CredentialsUnavailable(f"{who} {outcome.ended}{said and f': {said}'}")
        return _read(outcome.printed, words[0])

    def words(self) -> list[str]:
        """The program and its arguments. Raises CredentialsError."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            text = f"credential_process can't be split into words: {error}"
            raise CredentialsError(text) from None
        if not words:
            raise CredentialsError("credential_process names no program")
        return words


def _read(printed: bytes, name: str) -> Keys:
    try:
        read = _Printed.model_validate_json(printed)
    except ValidationError as error:
        raise CredentialsError(
            f"credential_process {name} did not print version 1 credentials: {_wrong(error)}"
        ) from None
    expiration = read.expiration
    if expiration is not None and expiration.tzinfo is None:
        expiration = expiration.replace(tzinfo=UTC)
    return Keys(
        access_key_id=read.access_key_id,
        secret_access_key=read.secret_access_key,
        session_token=read.session_token or "",
        expires_at=None if expiration is None else expiration.timestamp(),
    )


def _wrong(error: ValidationError) -> str:
    """Which members are wrong. pydantic's own words on bad JSON could quote from it."""
    names = {str(each["loc"][0]) for each in error.errors(include_input=False) if each["loc"]}
    return f"{', '.join(sorted(names))} missing or wrong" if names else "it is not a JSON object"
