"""Stores to test, and operations with what a test does not care about filled in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from hocket.store.base import Accept, AudienceRow, Claim, Claimed, Settle, Settled, Store
from hocket.store.client import Client
from hocket.store.sqlite.local import SqliteStore
from hocket.store.sqlite.process import keep

Opened = Callable[[Path], AbstractAsyncContextManager[Store]]

LATER: Final = 10_000.0  # seconds since 1970, after everything in these tests


@asynccontextmanager
async def local(directory: Path) -> AsyncIterator[Store]:
    store = SqliteStore(directory)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Store]:
    """Over the socket, with the server in the test's own event loop."""
    async with serving(directory), client(directory) as store:
        yield store


@asynccontextmanager
async def client(directory: Path) -> AsyncIterator[Store]:
    store = Client(directory)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[None]:
    ready, end = asyncio.Event(), asyncio.Event()
    server = asyncio.create_task(keep(directory, ready.set, end))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({server, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not server.done():
            yield
    finally:
        end.set()
        await server


class Process:
    """A store of its own, to be killed."""

    def __init__(self, directory: Path, *before: str) -> None:
        command = [*before, sys.executable, "-m", "hocket.store.sqlite", str(directory)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> tuple[int, str]:
        """Its status, and what it complained of."""
        _, errors = self._process.communicate()
        return self._process.returncode, errors.decode()


def accept(id: str, *users: str, **fields: Any) -> Accept:
    """For everybody, unless users or `topics` are named."""
    topics = tuple(fields.pop("topics", ()))
    everybody = fields.pop("everybody", not users and not topics)
    given: dict[str, Any] = {
        "id": id,
        "caller": "test",
        "key": "",
        "digest": b"",
        "audience": AudienceRow(everybody, users, topics),
        "content": b'{"title":"hello"}',
        "at": 100.0,
        "send_at": 0.0,
        "expires_at": LATER,
        "collapse_key": id,
    }
    return Accept(**(given | fields))


async def claim(store: Store, limit: int = 1_000, now: float = 200.0) -> list[Claimed]:
    return await store.do(Claim("fcm", limit, now, now + 60))


async def settle(store: Store, claimed: list[Claimed], state: str, **fields: Any) -> None:
    await store.do(
        Settle(tuple([Settled(each.id, state, **({"at": 300.0} | fields)) for each in claimed]))
    )
