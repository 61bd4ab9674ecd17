"""Group commit: what comes while the disk is busy waits, and is written together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from hocket.store.base import Event, Operation
from hocket.store.sqlite.feeds import Feed
from hocket.store.sqlite.ledger import Ledger

MOST: Final = 1_000  # operations in one transaction
PACE: Final = 0.25  # seconds between two Progress of one notification

Answered = Callable[[Any], None]


class Group:
    """All who ask one ledger, in one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.feeds: set[Feed] = set()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, Operation[Any], Answered]] = deque()
        self._planned: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def submit(self, owner: int, operation: Operation[Any], answered: Answered) -> None:
        """`answered` gets the answer, or the exception, once it is on disk."""
        self._waiting.append((owner, operation, answered))
        self._plan()

    def _plan(self) -> None:
        if self._planned is None and self._waiting:
            self._planned = self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._planned = None
        count = min(len(self._waiting), MOST)
        batch = [self._waiting.popleft() for _ in range(count)]
        self._plan()
        answers = self.ledger.carry_out([(owner, operation) for owner, operation, _ in batch])
        for (_, _, answered), answer in zip(batch, answers, strict=True):
            answered(answer)
        self._tell(self.ledger.take_told())
        if self.ledger.has_progress and self._timer is None:
            self._timer = self._loop.call_later(PACE, self._tell_progress)

    def _tell(self, events: list[Event]) -> None:
        for feed in list(self.feeds):
            for event in events:
                feed.add(event)
            feed.go_on()

    def _tell_progress(self) -> None:
        self._timer = None
        self._tell(list(self.ledger.take_progress()))

    def gone(self, owner: int) -> None:
        """A connection has ended; what it asked for is carried out before its leases are void."""
        if not self._closed:
            while self._waiting:
                self._commit()
            self.ledger.gone(owner)

    def close(self) -> None:
        """What waits is carried out first."""
        while self._waiting:
            self._commit()
        for handle in (self._planned, self._timer):
            if handle is not None:
                handle.cancel()
        self._closed = True
        self.ledger.close()
