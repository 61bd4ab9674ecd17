"""Servers that users bring along, and that may be broken: one of them is never to slow the others.

A server that asked for a pause (429), or did not answer several times in a row, is left alone for a
while: what is for it comes back at once as Retry, and takes nobody's place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hocket.notify import retry
from hocket.providers.base import Retry

PATIENCE: Final = 3  # requests without an answer, one after the other, that a server may have
MAX_ORIGINS: Final = 10_000  # that something is remembered of


@dataclass(slots=True)
class _Origin:
    silent: int = 0
    pauses: int = 0  # in a row whose length was ours to choose
    until: float = 0.0


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

    def answered(self, origin: str) -> None:
        self._known.pop(origin, None)

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
            known.until = max(known.until, self._clock() + seconds)
        elif known.until <= self._clock():
            self._pause(known)

    def _pause(self, known: _Origin) -> None:
        known.until = self._clock() + retry.pause(known.pauses)
        known.pauses += 1

    def _of(self, origin: str) -> _Origin:
        if origin not in self._known and len(self._known) >= MAX_ORIGINS:
            self._known.clear()
        return self._known.setdefault(origin, _Origin())
