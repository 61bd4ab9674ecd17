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
        """A user is known from now on. Waits for as long as the store is not there.

        Raises: what the question did; all users who were in it are given up, and no others.
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
                    found = await self._see(users)
                except StoreError:
                    await asyncio.sleep(AGAIN)
                except Exception as error:  # who stayed would be in every later question
                    self._give_up(users, error)
                else:
                    for user, each in zip(users, found, strict=True):
                        self._waiting.pop(user).set_result(each)
        finally:
            self._asking = False

    async def _see(self, users: tuple[str, ...]) -> list[Introduced]:
        seen = await self._store.do(SeeUsers(users))
        choosy = set(seen.choosy)
        return [
            Introduced(number, seen.seq, at in choosy) for at, number in enumerate(seen.numbers)
        ]

    def _give_up(self, users: tuple[str, ...], error: Exception) -> None:
        for user in users:
            future = self._waiting.pop(user)
            future.set_exception(error)
            future.exception()  # whoever waits gets it; who does not is not warned of
