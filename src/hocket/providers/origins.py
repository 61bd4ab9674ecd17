"""Servers that users bring along, and that may be broken: one of them is never to slow the others.

A server that asked for a pause (429), or did not answer several times in a row, is left alone for a
while: what is for it comes back at once as Retry, and takes nobody's place. One that nothing is
known of is asked ten things at a time, one whose pause is over a single one; each answer makes room
for one more, so a push service that answers has soon all the room there is, and one that holds its
answers back holds ten senders of a hundred.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from hocket.notify import retry
from hocket.providers.base import Retry
from hocket.providers.outbound import Answer, UnreachableError

PATIENCE: Final = 3  # requests without an answer, one after the other, that a server may have
ROOM: Final = 10  # requests at a time to a server that has not answered yet
MOMENT: Final = 0.5  # seconds that a request waits for room: some round trips of one that answers
MAX_ORIGINS: Final = 10_000  # that something is remembered of


@dataclass(slots=True)
class _Origin:
    silent: int = 0
    pauses: int = 0  # in a row whose length was ours to choose
    until: float = 0.0
    asking: int = 0  # requests under way, or waiting for room
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ROOM))
    full: bool = False  # it is not worth waiting for room


class Origins:
    """What is known of servers, by their origin. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Origin] = {}  # those with something against them

    def pause_of(self, origin: str) -> Retry | None:
        """What to say instead of asking it; None: ask."""
        known = self._known.get(origin)
        if known is None or (left := known.until - self._clock()) <= 0:
            return None
        return Retry(f"{origin} is left alone for now", left, tried=False)

    async def ask(self, origin: str, post: Callable[[], Awaitable[Answer]]) -> Answer | Retry:
        """What it answers, or what to say instead of asking it.

        Raises: UnreachableError.
        """
        known = self._of(origin)
        known.asking += 1
        try:
            if pause := self.pause_of(origin):
                return pause
            room = known.room
            if not await self._has_room(known, room):
                return Retry(f"{origin} has enough to answer", retry.PAUSE, tried=False)
            try:
                return self._heard(origin, room, await post())
            except (UnreachableError, asyncio.CancelledError):  # the latter: its time is over
                self.silent(origin)
                raise
            finally:
                room.release()
        finally:
            known.asking -= 1
            self._forget(origin, known)

    async def _has_room(self, known: _Origin, room: asyncio.Semaphore) -> bool:
        """Whether there is some, which is then taken; if not at once, in a moment."""
        if not room.locked():
            return await room.acquire()
        if known.full:
            return False
        try:
            async with asyncio.timeout(MOMENT):
                await room.acquire()
        except TimeoutError:
            known.full = True
            return False
        if room is known.room:
            return True
        room.release()  # a pause began meanwhile
        return False

    def _heard(self, origin: str, room: asyncio.Semaphore, answer: Answer) -> Answer:
        if answer.status == 429:
            self.busy(origin, answer.retry_after)
        else:
            self.answered(origin)
            room.release()  # one more at a time
        return answer

    def _forget(self, origin: str, known: _Origin) -> None:
        """One that nothing is against, and nobody asks."""
        blameless = not (known.asking or known.silent or known.pauses or known.full)
        if blameless and known.until <= self._clock() and self._known.get(origin) is known:
            del self._known[origin]

    def answered(self, origin: str) -> None:
        """It did. What was on its way when a pause began does not end it."""
        known = self._known.get(origin)
        if known is not None and known.until <= self._clock():
            known.silent = known.pauses = 0
            known.full = False

    def silent(self, origin: str) -> None:
        """It did not answer. What was on its way when a pause began says nothing new."""
        known = self._of(origin)
        if known.until > self._clock():
            return
        known.silent += 1
        if known.silent >= PATIENCE:
            self._pause(known)

    def busy(self, origin: str, seconds: float | None) -> None:
        """It asked for a pause, of so many seconds or of none that it named."""
        known = self._of(origin)
        if seconds:
            self._leave_alone(known, seconds)
        elif known.until <= self._clock():
            self._pause(known)

    def _pause(self, known: _Origin) -> None:
        self._leave_alone(known, retry.pause(known.pauses))
        known.pauses += 1

    def _leave_alone(self, known: _Origin, seconds: float) -> None:
        """And ask a single thing then: the others wait until that was answered."""
        known.until = max(known.until, self._clock() + seconds)
        known.room = asyncio.Semaphore(1)
        known.full = True

    def _of(self, origin: str) -> _Origin:
        known = self._known.get(origin)
        if known is None:
            if len(self._known) >= MAX_ORIGINS:
                self._known.clear()
            known = self._known[origin] = _Origin()
        return known
