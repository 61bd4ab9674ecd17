"""The file: made, checked and migrated. What is not ours, newer or damaged is left as it is."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from hocket.errors import UsageError
from hocket.store.sqlite.outbox import make_leases

NAME: Final = "hocket.db"
APPLICATION: Final = 0x686F636B  # "hock", as PRAGMA application_id
LOOKED_THROUGH: Final = 1 << 30  # bytes; a larger file is not read through at every start
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_OLDEST: Final = (3, 37, 0)  # of SQLite: STRICT tables, RETURNING
_MAGIC: Final = b"SQLite format 3\0"
_SETTINGS: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8000;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
"""


def open_database(directory: Path, patience: float = 1.0) -> sqlite3.Connection:
    """The database in a folder, which is made if it is not there, with the newest schema.

    Args:
        patience: seconds to wait for the lock of another program.

    Raises: UsageError that says what to do.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise UsageError(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed")
    path = directory / NAME
    try:
        if not path.exists():
            _make(path)
        check_head(path)
        return _open(path, patience)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise UsageError(f"{path}: {error}; {_advice(error)}") from None


def _advice(error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return "mend that and start again"
    return "restore a backup, or move the file away to begin with an empty one"


def migrations(folder: Path = MIGRATIONS) -> list[str]:
    """The SQL that leads from each schema to the next; the first one makes the first."""
    files = sorted(folder.glob("*.sql"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    return [file.read_text(encoding="utf-8") for file in files]


def _make(path: Path) -> None:
    """Whole or not at all: under another name until it is."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = FULL")
        migrate(db, migrations())
    finally:
        db.close()
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def check_head(path: Path) -> None:
    """Without SQLite, which writes to what it opens. Source: sqlite.org/fileformat.html 1.3.

    Raises: UsageError when it is no database of ours; OSError.
    """
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise UsageError(f"{path} is no database; move it away, or name another folder")
    if int.from_bytes(head[68:72], "big") != APPLICATION:
        raise UsageError(f"{path} is another program's database; name another folder")


def _open(path: Path, patience: float) -> sqlite3.Connection:
    steps = migrations()
    reader = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=patience)
    try:
        version = _version(reader)
        looks = path.stat().st_size <= LOOKED_THROUGH
        damage = reader.execute("PRAGMA quick_check(1)").fetchone()[0] if looks else "ok"
    finally:
        reader.close()
    if version > len(steps):
        raise UsageError(
            f"{path} was written by a newer Hocket (schema {version}, this one knows "
            f"{len(steps)}); install that version again"
        )
    if damage != "ok":
        raise UsageError(f"{path} is damaged ({damage}); restore a backup")
    db = sqlite3.connect(path, isolation_level=None, timeout=patience)
    try:
        db.executescript(_SETTINGS)
        migrate(db, steps)
        make_leases(db)
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, steps: list[str]) -> None:
    """Each step in a transaction of its own, with the number of the schema."""
    for number, step in enumerate(steps, 1):
        if number > _version(db):
            marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {number};"
            try:
                db.executescript(f"BEGIN IMMEDIATE; {step}; {marks} COMMIT;")
            except sqlite3.Error:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
