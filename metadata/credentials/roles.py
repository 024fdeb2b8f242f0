"""The roles file: which source of credentials serves which role.

An INI file in the form of AWS's shared configuration. A section has the name of a role's ARN;
`[default]` is for every other role. It is read each time credentials are obtained, so that an edit
takes effect without a restart. It holds secrets or leads to some, so it must be root's alone.
"""

import asyncio
import configparser
import importlib.util
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from metadata.credentials.keys import (
    CredentialsError,
    CredentialsUnavailable,
    Keys,
    Need,
    second_text,
)
from metadata.credentials.loose import LooseThreads
from metadata.credentials.private import NotPrivate, read_private
from metadata.credentials.process import ProcessSource
from metadata.credentials.sections import (
    ProcessSection,
    Section,
    StaticSection,
    StsSection,
    read_section,
    told_key,
)

_SIZE_LIMIT: Final = 1024 * 1024
_DEFAULT: Final = "default"
_AT_ONCE: Final = 8
_STS_THREADS: Final = 4
_NEEDS_BOTO3: Final = "source = sts needs boto3: install Hostler with its extra 'aws'"


@dataclass(slots=True)
class RolesFile:
    """Obtains credentials as the file at `path` says. `region` is for STS where no section says it.

    At most some are being obtained at a time.
    """

    path: Path
    region: str = ""
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _threads: LooseThreads = field(default_factory=lambda: LooseThreads(_STS_THREADS, "sts"))

    async def obtain(self, need: Need) -> Keys:
        """Credentials for the role. Raises CredentialsError, CredentialsUnavailable."""
        async with self._turn:
            section = await asyncio.to_thread(find_section, self.path, need.role_arn)
            try:
                return await self._from(section, need)
            except OSError as error:  # the host is short of open files, say
                raise CredentialsUnavailable(error.strerror or str(error)) from error

    async def _from(self, section: Section, need: Need) -> Keys:
        match section:
            case StaticSection():
                return _keys(section)
            case ProcessSection():
                return await ProcessSource(section.credential_process).obtain(need)
            case StsSection():
                return await self._assume(section, need)

    def close(self) -> None:
        """Waits for nothing: what STS still says is dropped."""
        self._threads.close()

    async def _assume(self, section: StsSection, need: Need) -> Keys:
        try:
            # The AWS libraries are large, and an extra that few hosts have.
            from metadata.credentials import sts
        except ImportError:
            raise CredentialsError(_NEEDS_BOTO3) from None
        assumed = sts.Assumed(
            role_arn=section.role_arn,
            duration_seconds=section.duration_seconds,
            external_id=section.external_id,
            region=section.region or self.region,
            endpoint_url=section.endpoint_url,
        )
        return await sts.StsSource(assumed, self._threads).obtain(need)


def find_section(path: Path, role_arn: str) -> Section:
    """What the file says of the role. Blocking.

    Raises CredentialsError, or CredentialsUnavailable where the disk is at fault.
    """
    sections = _sections(path)
    name = role_arn if role_arn in sections else _DEFAULT
    if name not in sections:
        raise CredentialsError(f"{path} has neither a section [{role_arn}] nor [{_DEFAULT}]")
    return read_section(f"{path} [{name}]", sections[name])


def problems(path: Path) -> Iterator[str]:
    """What keeps the file or a section of it from being used; none where there is no file.

    Blocking.
    """
    if not path.exists():
        return
    try:
        sections = _sections(path)
    except CredentialsError as error:
        yield str(error)
        return
    for name, said in sections.items():
        where = f"{path} [{name}]"
        try:
            section = read_section(where, said)
        except CredentialsError as error:
            yield str(error)
            continue
        try:
            _refuse_unready(section)
        except CredentialsError as error:
            yield f"{where}: {error}"


def _refuse_unready(section: Section) -> None:
    """What can be known of a section's source without asking it. Raises CredentialsError."""
    match section:
        case StaticSection(expires_at=float(at)) if at <= time.time():
            raise CredentialsError(f"the keys expired at {second_text(at)}")
        case ProcessSection(credential_process=command):
            program = ProcessSource(command).words()[0]
            # It is started in the root directory.
            if shutil.which(f"/{program}" if "/" in program else program) is None:
                raise CredentialsError(f"credential_process: there is no program {program}")
        case StsSection() if importlib.util.find_spec("boto3") is None:
            raise CredentialsError(_NEEDS_BOTO3)
        case _:
            pass


def _sections(path: Path) -> Mapping[str, Mapping[str, str]]:
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), default_section="\0", empty_lines_in_values=False
    )
    try:
        parser.read_string(_text(path))
    except configparser.Error as error:
        raise CredentialsError(f"{path} {_misread(error)}") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _text(path: Path) -> str:
    try:
        return read_private(path, _SIZE_LIMIT).decode()
    except FileNotFoundError:
        raise CredentialsError(f"the roles file {path} is not there any more") from None
    except OSError as error:
        raise CredentialsUnavailable(f"{path} can't be read: {error.strerror}") from None
    except NotPrivate as error:
        raise CredentialsError(str(error)) from None
    except UnicodeDecodeError:
        raise CredentialsError(f"{path} is not UTF-8 text") from None


def _misread(error: configparser.Error) -> str:
    """What is wrong, and where. The parser's own words quote lines, which may hold secrets."""
    match error:
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: section [{error.section}] is there twice"
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: [{error.section}] has {told_key(error.option)} twice"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno}: comes before any [section]"
        case configparser.ParsingError():
            return f"line {error.errors[0][0]}: is neither [section] nor key = value"
        case _:
            return "can't be read as sections of key = value"


def _keys(section: StaticSection) -> Keys:
    return Keys(
        access_key_id=section.aws_access_key_id,
        secret_access_key=section.aws_secret_access_key,
        session_token=section.aws_session_token,
        expires_at=section.expires_at,
    )
