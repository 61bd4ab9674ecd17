"""A copy of the database while it is used: SQLite's online backup, in one step, so that it is of
one moment. Writers do not wait for it (WAL).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hocket.errors import UsageError
from hocket.store.sqlite.database import NAME, check_head


def back_up(directory: Path, target: Path) -> int:
    """Copy the database of a data folder to a file that is not there yet; its size in bytes. The
    file is there once it is whole and on disk.

    Raises: UsageError.
    """
    source = directory / NAME
    if target.exists():
        raise UsageError(f"{target} is there already; name a new file")
    part = target.with_name(target.name + ".part")
    try:
        check_head(source)
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _copy(source, part)
        part.rename(target)
        return target.stat().st_size
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise UsageError(f"{target}: {error}; no backup was made") from None
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> None:
    with closing(_opened(source, "ro")) as old, closing(_opened(part, "rw")) as new:
        old.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
        damage = new.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise UsageError(f"{source} is damaged ({damage}); no backup was made")
    fd = os.open(part, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
