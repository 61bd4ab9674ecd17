"""The store in this process: for the command line while no server runs, and for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from hocket.store.base import Event, Operation, StoreError
from hocket.store.sqlite.database import open_database
from hocket.store.sqlite.feeds import Feed
from hocket.store.sqlite.group import Group
from hocket.store.sqlite.ledger import Ledger
from hocket.store.sqlite.lock import Lock

T = TypeVar("T")
_MOST_EVENTS = 1_000  # that wait for one listener


class SqliteStore:
    """A Store. It blocks its event loop while the disk works. Leases are the whole store's.

    Args:
        directory: of the data; nobody else has it until `close`.

    Raises: UsageError.
    """

    def __init__(self, directory: Path) -> None:
        self._lock = Lock(directory)
        try:
            self._group = Group(Ledger(open_database(directory)))
        except BaseException:
            self._lock.release()
            raise
        self._closed = False
        self._ends: set[asyncio.Queue[Event | None]] = set()

    async def do(self, operation: Operation[T]) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def answered(result: Any) -> None:
            if answer.done():
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self._group.submit(0, operation, answered)
        return await answer

    def events(self, after: int | None = None) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        feed = Feed(
            self._group.ledger,
            queue.put_nowait,
            lambda: queue.qsize() < _MOST_EVENTS,
            lambda: queue.put_nowait(None),
            after,
        )
        self._group.feeds.add(feed)
        self._ends.add(queue)
        feed.go_on()
        return self._listen(feed, queue)

    async def _listen(self, feed: Feed, queue: asyncio.Queue[Event | None]) -> AsyncIterator[Event]:
        try:
            while (event := await queue.get()) is not None:
                yield event
                feed.go_on()
        finally:
            self._group.feeds.discard(feed)
            self._ends.discard(queue)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            for queue in self._ends:
                queue.put_nowait(None)
            self._group.close()
            self._lock.release()
