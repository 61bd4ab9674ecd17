"""So many a second, and no more: what clients can provoke must not fill the log."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Counts.

    Args:
        most: that are admitted in a second.
        clock: seconds, monotonic.
    """

    __slots__ = ("_admitted", "_clock", "_most", "_until", "skipped")

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._until = 0.0
        self._admitted = 0
        self.skipped = 0  # in this second

    def admit(self) -> bool:
        """Whether one more is."""
        now = self._clock()
        if now >= self._until:
            self._until, self._admitted, self.skipped = now + 1.0, 0, 0
        if self._admitted < self._most:
            self._admitted += 1
            return True
        self.skipped += 1
        return False
