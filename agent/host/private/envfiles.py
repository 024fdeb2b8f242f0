"""Environment files: objects in S3, files of this host that stand in for them, files by path."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.aws import Aws, AwsError, AwsUnavailable, Question
from agent.host.private import envfile
from agent.host.private.envfile import EnvFileError
from agent.host.secrets import GetKeys
from agent.host.standins import Folder, StandInError, StandInUnavailable
from agent.task.definition.env_file import S3Object, env_file
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable

SIZE_LIMIT = 1024 * 1024
"""Bytes of a file; Linux takes no more for a program's whole environment than some times this."""


class EnvFileUnavailable(EnvFileError):
    """The file can't be had now; another time it may."""


@dataclass(frozen=True, slots=True)
class EnvFiles:
    """Files in ``folder``, by bucket and key, or else in S3."""

    folder: Folder
    aws: Aws
    region: str = ""

    async def variables(self, value: str, keys: GetKeys) -> Mapping[str, str]:
        """What the file says. ``keys`` are obtained if AWS is asked.

        Raises EnvFileUnavailable, EnvFileError: "unable to read environment file ...".
        """
        what = f"unable to read environment file {value}"
        try:
            return envfile.parse(await self._content(value, keys))
        except (AwsUnavailable, CredentialsUnavailable, StandInUnavailable) as error:
            raise EnvFileUnavailable(f"{what}: {error}") from None
        except (AwsError, CredentialsError, StandInError, EnvFileError, ValueError) as error:
            raise EnvFileError(f"{what}: {error}") from None

    async def _content(self, value: str, keys: GetKeys) -> bytes:
        where = env_file(value)
        if not isinstance(where, S3Object):
            return await asyncio.to_thread(_read, Path(where))
        name = f"{where.bucket}/{where.key}"
        local = await asyncio.to_thread(self.folder.file, name)
        if local is not None:
            return await asyncio.to_thread(_read, local)
        asked = {"Bucket": where.bucket, "Key": where.key}
        try:
            question = Question("s3", "get_object", asked, self.region, await keys())
            return await self.aws.content(question, SIZE_LIMIT)
        except AwsError as error:
            raise type(error)(f"{error}; there is no file {self.folder.path / name}") from None


def _read(path: Path) -> bytes:
    """What a regular file holds. Blocking. Raises StandInError, StandInUnavailable."""
    try:
        # A FIFO in its place must not keep us waiting.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StandInError(f"{path} is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(SIZE_LIMIT + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StandInError(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise StandInUnavailable(f"{path} can't be read: {error.strerror}") from None
    if len(content) > SIZE_LIMIT:
        raise StandInError(f"{path} has more than {SIZE_LIMIT} bytes")
    return content
