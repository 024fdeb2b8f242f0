"""One secret's text by the name that a task definition has for it.

That is the name or ARN of a secret in Secrets Manager. A file of that name on this host, root's
alone, stands in for it, so that the same definition runs with no cloud.

Reference: Secrets Manager user guide, "What's in a Secrets Manager secret" (names and ARNs).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.aws import Aws, AwsError, AwsUnavailable, Question
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys
from metadata.credentials.private import NotPrivate, read_private

SIZE_LIMIT = 64 * 1024
"""Bytes of a secret, as in Secrets Manager."""

_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:([^:]+)")
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}")
"""What Secrets Manager adds to a name in its ARN."""

GetKeys = Callable[[], Awaitable[Keys | None]]
"""Obtains the asker's keys; None: those of the host. Raises CredentialsError."""


class SecretError(Exception):
    """It can't be had until somebody mends what the text names. The text holds no secret."""


class SecretUnavailable(SecretError):
    """It can't be had now; another time it may."""


@dataclass(frozen=True, slots=True)
class SecretName:
    """A secret. ``id`` is how it was asked for, ``name`` its name, from an ARN with the suffix.

    ``region`` is "" where ``id`` does not tell it.
    """

    id: str
    name: str
    region: str = ""

    @property
    def files(self) -> Iterator[str]:
        """The names that a file for it may have, relative paths. The best comes first."""
        yield self.name
        bare = self.name[:-7]
        if self.id != self.name and bare and _SUFFIX.fullmatch(self.name[-7:]):
            yield bare


def secret_name(text: str) -> SecretName:
    """Raises SecretError."""
    arn = _ARN.fullmatch(text)
    found = SecretName(text, arn[2], arn[1]) if arn else SecretName(text, text)
    if not _NAME.fullmatch(found.name):
        raise SecretError("it is neither a name nor an ARN of a secret in Secrets Manager")
    return found


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets from the first of ``folders`` that has a file, or else from Secrets Manager.

    ``region`` is for those that are asked for by name.
    """

    folders: tuple[Path, ...]
    aws: Aws
    region: str = ""

    async def text(self, value_from: str, keys: GetKeys) -> str:
        """The secret's text. ``keys`` are obtained if Secrets Manager is asked.

        Raises SecretUnavailable, SecretError: "unable to retrieve secret ...".
        """
        what = f"unable to retrieve secret {value_from}"
        try:
            name = secret_name(value_from)
            local = await asyncio.to_thread(self._local, name)
            return local if local is not None else await self._remote(name, keys)
        except (SecretUnavailable, AwsUnavailable, CredentialsUnavailable) as error:
            raise SecretUnavailable(f"{what}: {error}") from None
        except (SecretError, AwsError, CredentialsError) as error:
            raise SecretError(f"{what}: {error}") from None

    def _local(self, name: SecretName) -> str | None:
        for folder in self.folders:
            for file in name.files:
                content = _content(folder, file)
                if content is not None:
                    return _decoded(folder / file, content)
        return None

    async def _remote(self, name: SecretName, keys: GetKeys) -> str:
        region = name.region or self.region
        try:
            question = Question(
                "secretsmanager", "get_secret_value", {"SecretId": name.id}, region, await keys()
            )
            answer = await self.aws.ask(question)
        except AwsError as error:
            places = " or ".join(map(str, self.folders))
            raise type(error)(f"{error}; there is no file for it in {places}") from None
        if "SecretString" not in answer:
            raise SecretError("it holds bytes, not text")
        return str(answer["SecretString"])


def folders(secrets_dir: Path) -> tuple[Path, ...]:
    """Where files of secrets are: in ``secrets_dir``, and where systemd puts this service's."""
    systemd = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return (secrets_dir, Path(systemd)) if systemd else (secrets_dir,)


def _content(folder: Path, file: str) -> bytes | None:
    """None where there is no such file. Raises SecretError, SecretUnavailable."""
    if any(part in ("", ".", "..") for part in file.split("/")):
        return None
    try:
        path = Path(os.path.realpath(folder / file, strict=True))
        if not path.is_relative_to(folder.resolve()):
            raise SecretError(f"{folder / file} leads out of {folder}: put the file itself there")
        return None if path.is_dir() else read_private(path, SIZE_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except NotPrivate as error:
        raise SecretError(str(error)) from None
    except OSError as error:
        raise SecretUnavailable(f"{folder / file} can't be read: {error.strerror}") from None


def _decoded(path: Path, content: bytes) -> str:
    """Its text, without the end of line that editors put at the end."""
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not UTF-8 text") from None
