"""What may lie where the store's file is to be: it is never overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hocket.errors import UsageError
from hocket.store.base import GetNotification, Inbox, SeeUsers
from hocket.store.sqlite import database
from hocket.store.sqlite.database import APPLICATION, NAME, migrate, migrations, open_database
from tests.contract.stores import Process, accept, local
from tests.support import asynchronous


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()


def newer(path: Path) -> None:
    open_database(path.parent).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def damaged(path: Path) -> None:
    open_database(path.parent).close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 9] = b"\xff" * 4096 * 6
    path.write_bytes(content)


def cut(path: Path) -> None:
    open_database(path.parent).close()
    path.write_bytes(path.read_bytes()[: 4096 * 5 + 100])


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (foreign, "is another program's database; name another folder"),
    (newer, "was written by a newer Hocket (schema 99, this one knows "),
    (damaged, "restore a backup"),
    (cut, "restore a backup"),
    (lambda path: path.write_bytes(b"\0" * 5_000), "is no database; move it away, or name another"),
    (lambda path: path.write_bytes(b""), "is no database"),
    (lambda path: path.mkdir(), "Is a directory"),
]


@pytest.mark.parametrize(("make", "why"), REFUSED)
def test_what_is_not_ours_is_refused_and_left_as_it_is(
    make: Callable[[Path], object], why: str, tmp_path: Path
) -> None:
    path = tmp_path / NAME
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    process = Process(tmp_path)
    status, errors = process.end()
    assert (status, process.said) == (2, b"")
    assert errors.startswith(f"hocket: {path}")
    assert why in errors
    assert errors.count("\n") == 1
    assert before == (path.read_bytes() if path.is_file() else b"")


def test_half_a_new_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "hocket.new").write_bytes(b"SQLite format 3\0 was here")
    open_database(tmp_path).close()
    assert not (tmp_path / "hocket.new").exists()


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 9))
    with pytest.raises(UsageError, match="too old"):
        open_database(tmp_path)


# Migrations


def schema(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


@pytest.mark.parametrize("number", range(1, len(migrations()) + 1))
def test_a_file_of_every_earlier_schema_is_brought_up_to_date(number: int, tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    migrate(old, migrations()[:number])
    assert old.execute("PRAGMA user_version").fetchone() == (number,)
    assert old.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    old.execute("INSERT INTO users (name, number, seq) VALUES ('ada', 1, 0)")
    old.execute("UPDATE counters SET number = 1, users = 1")
    old.close()
    db = open_database(tmp_path)
    assert db.execute("SELECT name FROM users").fetchall() == [("ada",)]
    (tmp_path / "new").mkdir()
    fresh = open_database(tmp_path / "new")
    assert schema(db) == schema(fresh)
    db.close()
    fresh.close()


@asynchronous
async def test_data_of_the_first_schema_is_all_there(tmp_path: Path) -> None:
    async with local(tmp_path) as store:
        await store.do(SeeUsers(("ada",)))
        await store.do(accept("n"))
    async with local(tmp_path) as store:
        assert [row.id for row in await store.do(Inbox("ada"))] == ["n"]
        assert (await store.do(GetNotification("n"))).recipients == 1


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    first, *_ = migrations()
    (folder / "0001_first.sql").write_text(first)
    monkeypatch.setattr(database, "MIGRATIONS", folder)
    monkeypatch.setattr(database, "migrations", lambda: migrations(folder))
    open_database(tmp_path).close()
    second = folder / "0002_second.sql"
    second.write_text("CREATE TABLE half (x) STRICT;")
    with pytest.raises(UsageError, match="missing datatype for half"):
        open_database(tmp_path)
    second.write_text("CREATE TABLE whole (x INTEGER) STRICT; ALTER TABLE users ADD colour TEXT;")
    third = folder / "0003_third.sql"
    third.write_text("CREATE TABLE later (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);")
    with pytest.raises(UsageError, match="no such table: nowhere"):
        open_database(tmp_path)
    db = sqlite3.connect(tmp_path / NAME)
    names = {name for name, _ in schema(db)}
    assert {"whole"} == names & {"half", "whole", "later"}
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()
    third.write_text("CREATE TABLE later (x INTEGER) STRICT;")
    open_database(tmp_path).close()
