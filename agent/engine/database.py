"""Opening the state store's file, whatever has become of it.

What is damaged is put aside under a telling name, and a new file gets every row that can still be
read. Only what a newer Hostler wrote, and a disk that can't be used at all, are refused.
Blocking, all of it; in the store's thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from agent.engine import rows as rows_of
from agent.engine.rows import COLUMNS, Row, Rows
from agent.engine.schema import MIGRATIONS

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database; they belong to that very file."""

_SALVAGED = ".salvaged"
"""Ending of the new file until it is in the old one's place."""

_WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""The first bytes of a write-ahead log (SQLite's file format, chapter 4.1)."""

_MOST_PROBES = 2_000
"""Rows asked for one by one where a table can't be read in order."""

_DAMAGE = frozenset(
    {
        *(sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB),
        *(sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH),
    }
)
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})
"""Errors that say something of the file. Others (full, read-only, no memory) say it of the host."""


class NewerSchema(Exception):
    """The file was written by a newer Hostler."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database and what was read from it.

    ``mishaps`` tell what was found, in sentences. ``doubtful``: the last writes may be missing.
    """

    db: sqlite3.Connection
    rows: Rows
    mishaps: tuple[str, ...] = ()
    doubtful: bool = False


_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged file raises; the latter where SQLite's own words quote what is no text."""


class _Damaged(Exception):
    """What is wrong with the file."""


def open_database(path: Path, *, unclean: bool) -> Opened:
    """The database at ``path``, up to date and read; made if there is none.

    ``unclean``: who had it last did not come to close it. Raises NewerSchema, sqlite3.Error,
    OSError.
    """
    _finish_salvage(path)
    mishaps = tuple(_missing(path) if unclean else ())
    path.touch(mode=0o600)  # environments may hold secrets; WAL files take it over
    try:
        db, rows = _opened(path)
        return Opened(db, rows, mishaps, doubtful=bool(mishaps))
    except _Damaged as error:
        why = str(error)
        rows, kept = _replace(path)
        db, _ = _opened(path)
    told = (
        f"the state store {path} was damaged: {why}; it is kept as {kept}",
        _counted(rows),
        *(f"could not be read: {each}" for each in rows.unread),
    )
    return Opened(db, rows, (*mishaps, *told), doubtful=True)


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the store needs it. Raises sqlite3.Error."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA foreign_keys=ON")
    except Exception:
        db.close()
        raise
    return db


def _missing(path: Path) -> Iterator[str]:
    """What of a store that was not closed is not there any more."""
    wal = path.with_name(f"{path.name}-wal")
    if not path.exists() or path.stat().st_size == 0:
        yield f"the state store {path} is gone"
    elif not wal.exists():
        yield f"{wal} is gone, and with it what was written last"
    elif wal.stat().st_size and wal.read_bytes()[:4] not in _WAL_MAGIC:
        yield f"{wal} is damaged; what was written last is lost"


def _opened(path: Path) -> tuple[sqlite3.Connection, Rows]:
    """Raises _Damaged, NewerSchema, sqlite3.Error."""
    db = None
    try:
        db = connect(path)
        _check(db)
        migrate(db)
        rows = rows_of.read(db)
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        if _is_damage(error) and _migrations_work():
            raise _Damaged(str(error)) from error
        raise
    except UnicodeDecodeError as error:  # of SQLite's own words, as they quote the file
        if db is not None:
            db.close()
        raise _Damaged(f"its schema is no text: {error}") from error
    except Exception:
        if db is not None:
            db.close()
        raise
    if rows.unread:
        db.close()
        raise _Damaged(f"{len(rows.unread)} of its rows make no sense")
    return db, rows


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in _DAMAGE or code in _UNREADABLE


def _check(db: sqlite3.Connection) -> None:
    """Raises _Damaged if the file's structure is not sound."""
    problems = [str(text) for (text,) in db.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        raise _Damaged("; ".join(problems))


def migrate(db: sqlite3.Connection) -> None:
    """Brings the database up to date; one that fails leaves it as it was.

    Raises NewerSchema, sqlite3.Error.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerSchema(
            f"the state store has schema {version}, this agent knows {len(MIGRATIONS)}:"
            " it was written by a newer Hostler; install that one again"
        )
    if version == len(MIGRATIONS):
        return
    scripts = "".join(MIGRATIONS[version:])
    try:
        db.executescript(
            f"BEGIN IMMEDIATE; {scripts} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
        )
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _migrations_work() -> bool:
    """Whether a failed migration is the rows' fault and not its own."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        try:
            migrate(db)
        except sqlite3.Error:
            return False
    return True


def _replace(path: Path) -> tuple[Rows, Path]:
    """The damaged file is aside, a sound one with all that could be read is in its place.

    The new one is complete before the old one is touched. Raises sqlite3.Error, OSError.
    """
    rows = _salvage(path)
    new = path.with_name(path.name + _SALVAGED)
    building = path.with_name(f"{new.name}.part")
    for each in _set_of(building):
        each.unlink(missing_ok=True)
    building.touch(mode=0o600)
    with closing(connect(building)) as db:
        migrate(db)
        with db:
            db.execute("BEGIN IMMEDIATE")
            rows_of.write(db, rows)
    building.rename(new)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    # Last the file itself: a new one must never meet the old one's log.
    for ending in (*_BESIDE, ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(kept.with_name(kept.name + ending))
    new.rename(path)
    return rows, kept


def _finish_salvage(path: Path) -> None:
    """Whatever interrupted a salvage: its outcome is in place, or it will be done again."""
    new = path.with_name(path.name + _SALVAGED)
    if not new.exists():
        return
    if path.exists():
        new.unlink()
    else:
        new.rename(path)


def _set_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", *_BESIDE)]


def _salvage(path: Path) -> Rows:
    """Every row of a damaged file that can be read, brought up to date."""
    rows = Rows()
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except _ERRORS:
        return rows
    with closing(db):
        try:
            db.execute("BEGIN")  # else every probe would look at the log anew
            (version,) = db.execute("PRAGMA user_version").fetchone()
        except _ERRORS:
            return rows
        for table, columns in COLUMNS.items():
            found = _readable(db, table, columns)
            rows.take(table, (_upgraded(table, columns, version, each) for each in found))
    return rows


def _readable(db: sqlite3.Connection, table: str, columns: str) -> list[Row]:
    """Rows from both ends of the table up to where it is broken, then those between, one by one."""
    found: dict[int, Row] = {}
    query = f"SELECT rowid, {columns} FROM {table} NOT INDEXED"  # noqa: S608
    ends = []
    for order in ("ASC", "DESC"):
        last = None
        try:
            for last, *row in db.execute(f"{query} ORDER BY rowid {order}"):
                found[last] = tuple(row)
        except _ERRORS:
            ends.append(last)
            continue
        break
    if len(ends) == 2:
        low = ends[0] or 0
        high = min(ends[1] or low + _MOST_PROBES, low + _MOST_PROBES)
        for rowid in range(low + 1, high):
            with suppress(*_ERRORS):
                for _, *row in db.execute(f"{query} WHERE rowid = ?", (rowid,)):
                    found[rowid] = tuple(row)
    return [found[rowid] for rowid in sorted(found)]


def _upgraded(table: str, columns: str, version: int, row: Row) -> Row:
    """The row as it is after the migrations, which it alone goes through; else as it was."""
    if version >= len(MIGRATIONS):
        return row
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        try:
            db.executescript("".join(MIGRATIONS[:version]))
            texts = [each.decode() if isinstance(each, bytes) else each for each in row]
            marks = ", ".join("?" * len(row))
            db.execute(f"INSERT INTO {table} VALUES ({marks})", texts)  # noqa: S608
            db.execute(f"PRAGMA user_version = {version}")
            migrate(db)
            (upgraded,) = db.execute(f"SELECT {columns} FROM {table}")  # noqa: S608
        except (sqlite3.Error, ValueError):
            return (*row[:-1], b"")  # it is named as one that can't be read
    return tuple(upgraded)


def _counted(rows: Rows) -> str:
    definitions = sum(map(len, rows.definitions.values()))
    whole = len(rows.intents.keys() & rows.progress.keys())
    halves = len(rows.intents.keys() ^ rows.progress.keys())
    return (
        f"salvaged from it: {whole} tasks, {halves} halves of tasks, {definitions} task definitions"
    )
