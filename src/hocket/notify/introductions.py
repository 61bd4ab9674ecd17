"""Making users known to the store: all that come while one question is under way go into the next
one, so that a rush of clients is a few transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from hocket.store.base import SeeUsers, Store, StoreError

MOST: Final = 1_000  # users in one question
AGAIN: Final = 0.2  # seconds until a store that is not there is asked again


class Introduced(NamedTuple):
    """A user's number, the `seq` of the newest release, and whether the user has preferences."""

    number: int
    newest: int
    choosy: bool


class Introductions:
    """Asks the store for the numbers of users.

    Args:
        store: which.
        spawn: starts a task and holds on to it.
    """

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._store = store
        self._spawn = spawn
        self._waiting: dict[str, asyncio.Future[Introduced]] = {}
        self._asking = False

    async def introduce(self, user: str) -> Introduced:
        """A user is known from now on. Waits for as long as the store is not there."""
        future = self._waiting.get(user)
        if future is None:
            future = self._waiting[user] = asyncio.get_running_loop().create_future()
            if not self._asking:
                self._asking = True
                self._spawn(self._ask())
        return await asyncio.shield(future)

    async def _ask(self) -> None:
        try:
            while self._waiting:
                users = tuple(self._waiting)[:MOST]
                try:
                    seen = await self._store.do(SeeUsers(users))
                except StoreError:
                    await asyncio.sleep(AGAIN)
                    continue
                choosy = set(seen.choosy)
                for at, (user, number) in enumerate(zip(users, seen.numbers, strict=True)):
                    found = Introduced(number, seen.seq, at in choosy)
                    self._waiting.pop(user).set_result(found)
        finally:
            self._asking = False
