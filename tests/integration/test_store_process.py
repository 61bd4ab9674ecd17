"""The store as a process: what it acknowledged is there, whatever happens to it."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket as sockets
import sqlite3
import stat
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from hocket import store as stores
from hocket.errors import UsageError
from hocket.store.base import (
    Deliveries,
    Devices,
    GetNotification,
    GetPreferences,
    Inbox,
    Operation,
    RegisterDevice,
    SeeUsers,
    SetPreferences,
    Settle,
    Settled,
    Store,
    StoreError,
)
from hocket.store.client import Client
from hocket.store.sqlite.database import NAME
from hocket.store.sqlite.group import Group
from hocket.store.sqlite.ledger import Ledger
from hocket.store.sqlite.local import SqliteStore
from hocket.store.wire import LONGEST, SOCKET
from tests.contract.stores import Process, accept, claim, client, local, served, serving
from tests.support import asynchronous, eventually


async def see(store: Store, *users: str) -> None:
    await store.do(SeeUsers(users))


async def outcomes(store: Store, *operations: Operation[Any]) -> list[Any]:
    """Of these, asked together: the answer or what was raised."""
    asked = [store.do(operation) for operation in operations]
    return await asyncio.gather(*asked, return_exceptions=True)


async def see_many(store: Store, acknowledged: list[str]) -> None:
    for number in range(1_000):
        await see(store, f"u{number}")
        acknowledged.append(f"u{number}")


async def ask_and_never_read(store: Store, deaf: sockets.socket) -> None:
    asked = b"\x92\x01\x94\xa5Inbox\xa3ada\x00\xc0"  # answers of 2 MB
    while True:
        deaf.send((struct.pack("<I", len(asked)) + asked) * 1_000)
        await store.do(GetPreferences("ada"))


def check(directory: Path) -> None:
    with sqlite3.connect(directory / NAME) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


# Group commit


@asynchronous
async def test_what_waits_is_committed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledgers: list[Ledger] = []

    def group(ledger: Ledger) -> Group:
        ledgers.append(ledger)
        return Group(ledger)

    monkeypatch.setattr("hocket.store.sqlite.process.Group", group)
    async with serving(tmp_path):
        clients = [Client(tmp_path) for _ in range(20)]
        await asyncio.gather(*[see(each, "first") for each in clients])
        before = ledgers[0].commits
        asked = [see(each, f"u{i}.{j}") for i, each in enumerate(clients) for j in range(50)]
        await asyncio.gather(*asked)
        assert ledgers[0].commits - before <= 40  # for 1,000 writes
        for each in clients:
            await each.close()


@asynchronous
async def test_each_commit_is_a_full_fsync(tmp_path: Path) -> None:
    async with local(tmp_path) as store:
        assert isinstance(store, SqliteStore)
        db = store._group.ledger._db
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@asynchronous
async def test_one_that_is_refused_takes_nobody_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as store:
        await store.do(accept("n", digest=b"1"))
        results = await outcomes(
            store, SeeUsers(("ada",)), accept("n", digest=b"2"), SetPreferences("bob", b"[]")
        )
        assert [type(each).__name__ for each in results] == ["Seen", "Conflict", "NoneType"]
        assert await store.do(GetPreferences("bob")) == b"[]"


# Killed


@asynchronous
async def test_nothing_acknowledged_is_lost_when_it_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: set[str] = set()
    over = asyncio.Event()

    async def write(number: int) -> None:
        async with client(tmp_path) as store:
            for count in range(100_000):
                if over.is_set():
                    return
                id = f"{number}.{count}"
                answer = await store.do(accept(id, "ada", f"user {id}"))
                assert not answer.replayed
                acknowledged.add(id)

    process = Process(tmp_path)
    writers = [asyncio.create_task(write(number)) for number in range(8)]
    for _ in range(6):
        had = len(acknowledged)
        await eventually(lambda had=had: len(acknowledged) > had + 50)  # type: ignore[misc]
        await asyncio.sleep(chance.random() * 0.02)  # at any moment of a commit
        await asyncio.to_thread(process.kill)
        process = await asyncio.to_thread(Process, tmp_path)
    over.set()
    await asyncio.gather(*writers)
    process.kill()
    check(tmp_path)
    async with local(tmp_path) as store:
        found: list[str] = []
        while rows := await store.do(Inbox("ada", after=len(found), limit=10_000)):
            assert [row.seq for row in rows] == [*range(len(found) + 1, len(found) + len(rows) + 1)]
            found += [row.id for row in rows]
        assert len(found) == len(set(found))
        assert acknowledged == set(found)


@asynchronous
async def test_leases_of_a_store_that_died_are_void(tmp_path: Path) -> None:
    process = Process(tmp_path)
    async with client(tmp_path) as store:
        await store.do(RegisterDevice("ada", "fcm", "t", 1.0))
        await store.do(accept("n"))
        held = await claim(store)
        process.kill()
        with pytest.raises(StoreError, match="went away before it answered"):
            await store.do(Settle((Settled(held[0].id, "delivered", 1.0),)))
    process = Process(tmp_path)
    async with client(tmp_path) as store:
        assert [each.id for each in await claim(store)] == [held[0].id]
    process.kill()


@asynchronous
async def test_leases_end_with_their_connection_and_are_nobody_elses(tmp_path: Path) -> None:
    async with serving(tmp_path), client(tmp_path) as other:
        async with client(tmp_path) as first:
            await first.do(RegisterDevice("ada", "fcm", "t", 1.0))
            await first.do(accept("n"))
            [held] = await claim(first)
            assert await claim(other) == []
            await other.do(Settle((Settled(held.id, "delivered", 1.0),)))
            [delivery] = await other.do(Deliveries("n"))
            assert delivery.state == "leased"
        while not (again := await claim(other)):
            await asyncio.sleep(0)
        assert again == [held]


@asynchronous
async def test_a_store_that_is_not_there_is_an_error_after_a_while(tmp_path: Path) -> None:
    store = Client(tmp_path, patience=0.1)
    with pytest.raises(StoreError, match="no store answers"):
        await see(store, "ada")
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await see(store, "ada")


# The disk, the folder, the lock


@asynchronous
async def test_a_full_disk_is_an_error_until_it_is_mended(tmp_path: Path) -> None:
    process = Process(tmp_path)
    async with client(tmp_path) as store:
        await see(store, "ada")
        size = (tmp_path / f"{NAME}-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        acknowledged = ["ada"]
        with pytest.raises(StoreError, match="the store cannot do it now"):
            await see_many(store, acknowledged)
        large, reading, small = await outcomes(
            store,
            accept("large", *[f"a name {number}" for number in range(5_000)]),
            GetPreferences("ada"),
            SetPreferences("ada", b"[1]"),
        )
        assert isinstance(large, StoreError)
        assert isinstance(small, StoreError)
        assert reading == b"{}"
        resource.prlimit(
            process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        assert (await store.do(accept("n"))).recipients == len(acknowledged)
        assert (await store.do(GetNotification("n"))).seq == 1
    process.kill()
    check(tmp_path)


@asynchronous
async def test_a_locked_file_is_an_error_until_it_is_free(tmp_path: Path) -> None:
    process = Process(tmp_path)
    async with client(tmp_path) as store:
        await see(store, "ada")
        other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        operations = [SeeUsers((f"u{number}",)) for number in range(50)]
        results = await outcomes(store, *operations, GetPreferences("ada"))
        assert {type(each) for each in results[:-1]} == {StoreError}
        assert results[-1] == b"{}"
        assert time.monotonic() - began < 20  # they wait for the lock together
        other.execute("ROLLBACK")
        other.close()
        assert (await store.do(accept("n"))).recipients == 1
    process.kill()


def test_a_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        with pytest.raises(UsageError, match="Not a directory"):  # root may write everywhere
            asyncio.run(stores.open("/dev/null/data"))
    else:
        with pytest.raises(UsageError, match="Permission denied"):
            asyncio.run(stores.open(tmp_path))
    tmp_path.chmod(0o700)


def test_a_second_server_is_refused_and_told_which_is_first(tmp_path: Path) -> None:
    first = Process(tmp_path)
    second = Process(tmp_path)
    status, errors = second.end()
    assert (status, second.said) == (2, b"")
    assert errors == (
        f"hocket: data: {tmp_path} is in use by process {first.pid}; stop that server, or name "
        "another folder\n"
    )
    first.kill()
    third = Process(tmp_path)
    assert third.said == b"ready\n"
    third.kill()


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    process = Process(directory)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {SOCKET, NAME, "lock"} <= set(modes)
    process.kill()


def test_it_ends_when_its_starter_does(tmp_path: Path) -> None:
    process = Process(tmp_path)
    assert process.end() == (0, "")  # closes its standard input
    assert not (tmp_path / SOCKET).exists()


@asynchronous
async def test_a_long_path_has_a_socket(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30) / ("longer" * 20)
    async with served(directory) as store:
        await see(store, "ada")


# Who opens it


@asynchronous
async def test_open_asks_the_server_that_runs_else_is_the_store(tmp_path: Path) -> None:
    store = await stores.open(tmp_path)
    assert isinstance(store, SqliteStore)
    await see(store, "ada")
    with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
        await stores.open(tmp_path)
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await see(store, "ada")
    async with serving(tmp_path):
        store = await stores.open(tmp_path)
        assert isinstance(store, Client)
        assert (await store.do(accept("n"))).recipients == 1
        await store.close()


# Clients that do not behave


@asynchronous
async def test_a_broken_client_costs_itself_its_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as store:
        await see(store, "ada")
        for nonsense in (
            b"GET / HTTP/1.1\r\n\r\n",
            struct.pack("<I", LONGEST + 1),
            struct.pack("<I", 3) + b"\xc1\xc1\xc1",
            struct.pack("<I", 200) + b"\x91" * 200,  # nested
            struct.pack("<I", 100_000) + b"\x91" * 100_000,
            struct.pack("<I", 12) + b"\x92\x01\x91\xa8DropEver",
            struct.pack("<I", 11) + b"\x92\x01\x92\xa8SeeUsers"[:11],
            struct.pack("<I", 8) + b"\x92\x01\x91\xa4Keys",  # no nonsense: answered
        ):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
            writer.write(nonsense)
            answered = await reader.read(100)
            assert (answered == b"") == (not nonsense.endswith(b"Keys"))
            writer.close()
        assert await store.do(Devices()) == []


@asynchronous
async def test_a_client_that_never_reads_stops_only_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as store:
        await store.do(accept("n", content=b'{"title":"' + b"x" * 50_000 + b'"}'))
        await store.do(SeeUsers(("ada",)))
        for number in range(40):
            await store.do(accept(f"n{number}", content=b'{"title":"' + b"x" * 50_000 + b'"}'))
        deaf = sockets.socket(sockets.AF_UNIX)
        deaf.connect(str(tmp_path / SOCKET))
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            await ask_and_never_read(store, deaf)
        rows = await store.do(Inbox("ada"))
        assert len(rows) == 40
        deaf.close()


@asynchronous
async def test_a_page_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as store:
        for number in range(36):
            token = f"{number}" + "x" * 2**20
            await store.do(RegisterDevice("ada", "webhook", token, 50.0))
        with pytest.raises(ValueError, match="take a smaller limit"):
            await store.do(Devices())
        rows = await store.do(Devices(limit=20))
        assert len(rows) == 20
        with pytest.raises(ValueError, match="longer than"):
            await store.do(SetPreferences("ada", bytes(LONGEST)))
