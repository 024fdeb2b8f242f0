"""Credentials that a program prints, as AWS's tools run one for `credential_process`.

The program runs without a shell, in a session of its own and for a limited time; then all that is
left of its process group is killed.

Reference: AWS SDKs and Tools Reference Guide, "Process credential provider".
"""

import asyncio
import errno
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from subprocess import DEVNULL, PIPE, Popen
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need

DEADLINE_S: Final = 30.0
OUTPUT_LIMIT: Final = 64 * 1024
_REAP_S: Final = 5.0
_SAID_LIMIT: Final = 200  # characters of what a failing program says
_SHORT_OF: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)  # of files, processes
_OF_THE_AGENT: Final = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class _Printed(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    version: Literal[1] = Field(alias="Version")
    access_key_id: str = Field(alias="AccessKeyId", min_length=1)
    secret_access_key: str = Field(alias="SecretAccessKey", min_length=1)
    session_token: str | None = Field(default=None, alias="SessionToken")
    expiration: datetime | None = Field(default=None, alias="Expiration")


class _TooMuch(Exception):
    """The program prints without end."""


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
        # Nothing is awaited between its start and its end being taken care of.
        process = _start(words, _environment(need))
        try:
            async with asyncio.timeout(self.deadline_s):
                printed, said = await _outputs(process)
                code = await _exit(process)
        except TimeoutError:
            raise CredentialsUnavailable(
                f"credential_process {words[0]} was not done after {self.deadline_s:g} s"
            ) from None
        except _TooMuch:
            raise CredentialsError(
                f"credential_process {words[0]} printed more than {OUTPUT_LIMIT} bytes"
            ) from None
        finally:
            await _end(process)
        if code != 0:
            raise CredentialsUnavailable(
                f"credential_process {words[0]} {_ended(code)}{_last_words(said)}"
            )
        return _read(printed, words[0])

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


def _start(words: Sequence[str], environment: Mapping[str, str]) -> Popen[bytes]:
    try:
        return Popen(
            words,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        text = f"credential_process {words[0]} can't be started: {why}"
        passes = isinstance(error, OSError) and error.errno in _SHORT_OF
        raise CredentialsUnavailable(text) if passes else CredentialsError(text) from None


def _environment(need: Need) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_THE_AGENT}
    return {**inherited, "HOSTLER_ROLE_ARN": need.role_arn, "HOSTLER_TASK_ARN": need.task_arn}


class _Output(asyncio.Protocol):
    """Collects what comes out of a pipe. `changed` is set at its end, and when it is too much."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.read = b""
        self.ended = False
        self._changed = changed

    def data_received(self, data: bytes) -> None:
        if len(self.read) <= OUTPUT_LIMIT:
            self.read += data
        if len(self.read) > OUTPUT_LIMIT:
            self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._changed.set()


async def _outputs(process: Popen[bytes]) -> tuple[bytes, bytes]:
    """All that the process prints on its two outputs. Raises _TooMuch."""
    changed, loop = asyncio.Event(), asyncio.get_running_loop()
    with ExitStack() as transports:
        outputs = []
        for pipe in (process.stdout, process.stderr):
            transport, output = await loop.connect_read_pipe(lambda: _Output(changed), pipe)
            transports.callback(transport.close)
            outputs.append(output)
        while True:
            if any(len(each.read) > OUTPUT_LIMIT for each in outputs):
                raise _TooMuch
            if all(each.ended for each in outputs):
                break
            await changed.wait()
            changed.clear()
    printed, said = outputs
    return printed.read, said.read


async def _exit(process: Popen[bytes]) -> int:
    """The exit code of the process, which is reaped."""
    if process.poll() is None:
        descriptor, ended = os.pidfd_open(process.pid), asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    return process.wait()


async def _end(process: Popen[bytes]) -> None:
    """Nothing of its process group runs, it is reaped, and its pipes are closed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    with suppress(TimeoutError):  # it may hang in the kernel
        async with asyncio.timeout(_REAP_S):
            await _exit(process)


def _ended(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _last_words(said: bytes) -> str:
    """The last line on standard error, which by AWS's rules holds no secret."""
    lines = [each for each in said.decode(errors="replace").splitlines() if each.strip()]
    if not lines:
        return ""
    line = "".join(each if each.isprintable() else " " for each in lines[-1].strip())
    return f": {line[:_SAID_LIMIT]}"


def _read(printed: bytes, program: str) -> Keys:
    try:
        read = _Printed.model_validate_json(printed)
    except ValidationError as error:
        raise CredentialsError(
            f"credential_process {program} did not print version 1 credentials: {_wrong(error)}"
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
