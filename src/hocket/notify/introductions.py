"""Making users known to the store: all that come while one question is under way go into the next
one, so that a rush of clients is a few transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hocket.store.base import SeeUsers, Store, StoreError

MOST: Final = 1_000  # users in one question
AGAIN: Final = 0.2  # seconds until a store that is not there is asked again


class Introductions:
    """Asks the store for the numbers of users.

    Args:
        store: which.
        spawn: starts a task and holds on to it.
    """

    def __init__(self, store: Store, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._store = store
        self._spawn = spawn
        self._waiting: dict[str, asyncio.Future[tuple[int, int]]] = {}
        self._asking = False

    async def introduce(self, user: str) -> tuple[int, int]:
        """A user, who is known from now on: the user's number, and the `seq` of the newest release.
        Waits for as long as the store is not there.
        """
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
                for user, number in zip(users, seen.numbers, strict=True):
                    self._waiting.pop(user).set_result((number, seen.seq))
        finally:
            self._asking = False
