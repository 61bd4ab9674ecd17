"""How long what is over stays: the store is asked to delete what is older, batch by batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from hocket.store.base import DeleteOld, Store, StoreError

log = logging.getLogger("hocket")

FIRST: Final = 5.0  # seconds until the first look: a server that starts has other things to do
EVERY: Final = 600.0  # seconds between two looks
PAUSE: Final = 0.05  # seconds between two batches, in which others have the store
DAY: Final = 86_400.0


class Retention:
    """Deletes what is old.

    Args:
        store: where.
        wall_clock: seconds since 1970.
        days: that a notification which is over is kept; 0: for ever.
    """

    def __init__(self, store: Store, wall_clock: Callable[[], float], days: float) -> None:
        self._store = store
        self._now = wall_clock
        self._days = days

    async def run(self) -> None:
        """For as long as the process lives."""
        await asyncio.sleep(FIRST)
        while True:
            try:
                await self.delete()
            except StoreError as error:
                log.warning("old notifications are deleted later: %s", error)
            await asyncio.sleep(EVERY)

    async def delete(self) -> int:
        """Everything that is too old now; how many rows that were.

        Raises: StoreError.
        """
        now, deleted = self._now(), 0
        before = now - self._days * DAY if self._days else 0.0
        while count := await self._store.do(DeleteOld(now, before)):
            deleted += count
            await asyncio.sleep(PAUSE)
        return deleted
