"""The access keys of the control API: a file in the format that all AWS tools read.

Made at the agent's first start with one key under the profile ``default``, so that naming the file
(``AWS_SHARED_CREDENTIALS_FILE``) is all that a client needs. An operator may add profiles, to give
out and to rotate keys: the agent reads the file at each start and accepts every key in it.
"""

from __future__ import annotations

import configparser
import os
import re
import secrets
import string
from pathlib import Path

from agent.doors.sigv4 import Key

PREFIX = "HOSTLER"
"""How the access key ids begin that are made here."""

_ID_LENGTH = 20
_SECRET_LENGTH = 40
_ID_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET = re.compile(r"[!-~]{20,128}")
_FIELDS = ("aws_access_key_id", "aws_secret_access_key")

_TEXT = """\
# Keys of Hostler's control API. Whoever has one is root on this host, in effect.
# More profiles may be added; the agent reads them when it starts.
[default]
aws_access_key_id = {key.access_key_id}
aws_secret_access_key = {key.secret}
"""


class KeysError(Exception):
    """The file of keys can't be used; the text names it and what to do. Never holds a secret."""


def ensure(path: Path) -> dict[str, Key]:
    """The keys in the file by access key id; the file is made if there is none. Blocking.

    Raises KeysError, or OSError if it can't be read or written.
    """
    if not path.exists():
        _write(path, _TEXT.format(key=_new()))
    return read(path)


def read(path: Path) -> dict[str, Key]:
    """The keys in the file by access key id. Blocking. Raises KeysError, OSError."""
    if path.stat().st_mode & 0o077:
        raise KeysError(f"{path} is open to others than its owner: chmod 600 it")
    return _parsed(path)


def _new() -> Key:
    letters = (secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH - len(PREFIX)))
    secret = (secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))
    return Key(PREFIX + "".join(letters), "".join(secret))


def _write(path: Path, text: str) -> None:
    """The file is on disk, whole, or not there."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(path: Path) -> dict[str, Key]:
    profiles = configparser.RawConfigParser(default_section="")
    try:
        profiles.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own text would show the line, and with it perhaps a secret.
        raise KeysError(f"{path} can't be read as an AWS credentials file") from None
    keys: dict[str, Key] = {}
    for profile in profiles.sections():
        key = Key(*(profiles.get(profile, each, fallback="") for each in _FIELDS))
        if not _ID.fullmatch(key.access_key_id) or not _SECRET.fullmatch(key.secret):
            raise KeysError(
                f"{path}: profile {profile} needs an aws_access_key_id of at least 16 letters and"
                " digits, and an aws_secret_access_key of at least 20 characters"
            )
        if key.access_key_id in keys:
            raise KeysError(f"{path}: profile {profile} has the same access key id as another one")
        keys[key.access_key_id] = key
    if not keys:
        raise KeysError(f"{path} has no keys: remove it, and the next start makes one")
    return keys
