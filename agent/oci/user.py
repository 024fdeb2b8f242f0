"""From ``user`` of a definition or image to numbers, by the image's own passwd and group files.

Pure: the caller reads the two files from the container's root file system and passes their text.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.oci.errors import SpecError

_MAX_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class User:
    """Who the first process is. ``additional_gids`` has the primary group too, as in a login."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = (0,)
    home: str = "/root"


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(wanted: str, passwd: str, group: str) -> User:
    """The user for ``user``, ``uid``, ``user:group``, ``uid:gid``, ``user:gid`` or ``uid:group``.

    A name is looked up before a number is taken as an id; an empty text is root. A uid without an
    entry gets group 0 and home ``/``. Supplementary groups come from the group file unless a group
    is named. Raises ``SpecError`` for unknown names and for ids out of range.
    """
    user_part, _, group_part = wanted.partition(":")
    account = _account(user_part or "0", passwd)
    groups = tuple(_groups(group))
    if group_part:
        gid = _gid(group_part, groups)
        supplementary: tuple[int, ...] = ()
    else:
        gid = account.gid
        supplementary = tuple(each.gid for each in groups if account.name in each.members)
    return User(account.uid, gid, tuple(dict.fromkeys((gid, *supplementary))), account.home)


def _account(wanted: str, passwd: str) -> _Account:
    accounts = tuple(_accounts(passwd))
    for account in accounts:
        if account.name == wanted:
            return account
    if not wanted.isdecimal():
        raise SpecError(f"unable to find user {wanted}: no matching entries in passwd file")
    uid = _number(wanted)
    for account in accounts:
        if account.uid == uid:
            return account
    return _Account(name="", uid=uid, gid=0, home="/root" if uid == 0 else "/")


def _gid(wanted: str, groups: tuple[_Group, ...]) -> int:
    for group in groups:
        if group.name == wanted:
            return group.gid
    if not wanted.isdecimal():
        raise SpecError(f"unable to find group {wanted}: no matching entries in group file")
    return _number(wanted)


def _number(text: str) -> int:
    if not _is_id(text):
        raise SpecError(f"uids and gids must be in range 0-{_MAX_ID}, not {text[:20]}")
    return int(text)


def _is_id(text: str) -> bool:
    # The length first: Python refuses to convert endless digits.
    return text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _MAX_ID


def _accounts(passwd: str) -> Iterator[_Account]:
    for name, uid, gid, home in _rows(passwd, (0, 2, 3, 5)):
        if _is_id(uid) and _is_id(gid):
            yield _Account(name, int(uid), int(gid), home or "/")


def _groups(group: str) -> Iterator[_Group]:
    for name, gid, members in _rows(group, (0, 2, 3)):
        if _is_id(gid):
            yield _Group(name, int(gid), tuple(filter(None, members.split(","))))


def _rows(text: str, columns: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """The columns wanted of passwd(5) and group(5) lines; short lines count as filled with ""."""
    for line in text.splitlines():
        cells = line.strip().split(":")
        if len(cells) >= 3 and not line.startswith("#"):
            yield tuple(cells[column] if column < len(cells) else "" for column in columns)
