"""Servers that users bring along, and that may be broken: one of them is never to slow the others.

A server that asked for a pause (429), or did not answer several times in a row, is left alone for a
while: what is for it comes back at once as Retry, and takes nobody's place. When a silent one's
pause is over, one request tries it, and the others wait as long as another pause would be: all of
them would hold every sender until their time is over, again and again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hocket.notify import retry
from hocket.providers.base import Retry

PATIENCE: Final = 3  # requests without an answer, one after the other, that a server may have
TRYING: Final = 60.0  # seconds in which the one that tries has been answered or given up
MAX_ORIGINS: Final = 10_000  # that something is remembered of


@dataclass(slots=True)
class _Origin:
    silent: int = 0
    pauses: int = 0  # in a row whose length was ours to choose
    until: float = 0.0
    trying: float = 0.0  # until when one request is under way that tries it


class Origins:
    """What is known of servers, by their origin. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Origin] = {}  # those with something against them

    def pause_of(self, origin: str) -> Retry | None:
        """What to say instead of asking it; None: ask."""
        known = self._known.get(origin)
        if known is None:
            return None
        now = self._clock()
        if now < known.until:
            return Retry(f"{origin} is left alone for now", known.until - now, tried=False)
        if known.silent < PATIENCE:
            return None
        if now < known.trying:
            return Retry(f"{origin} is being tried", retry.pause(known.pauses), tried=False)
        known.trying = now + TRYING
        return None

    def answered(self, origin: str) -> None:
        """It did. What was on its way when a pause began does not end it."""
        known = self._known.get(origin)
        if known is not None and known.until <= self._clock():
            del self._known[origin]

    def silent(self, origin: str) -> None:
        """It did not answer. What was on its way when a pause began says nothing new."""
        known = self._of(origin)
        if known.until > self._clock():
            return
        known.silent += 1
        known.trying = 0.0
        if known.silent >= PATIENCE:
            self._pause(known)

    def busy(self, origin: str, seconds: float | None) -> None:
        """It asked for a pause, of so many seconds or of none that it named."""
        known = self._of(origin)
        if seconds:
            known.until = max(known.until, self._clock() + seconds)
        elif known.until <= self._clock():
            self._pause(known)

    def _pause(self, known: _Origin) -> None:
        known.until = self._clock() + retry.pause(known.pauses)
        known.pauses += 1

    def _of(self, origin: str) -> _Origin:
        known = self._known.get(origin)
        if known is None:
            if len(self._known) >= MAX_ORIGINS:
                self._known.clear()
            known = self._known[origin] = _Origin()
        return known
