"""How fast a provider is worked. Pure: the time is an argument (seconds, of any clock)."""

from __future__ import annotations

BURST = 0.1  # seconds of the rate that may be made up for


class Pacer:
    """Pushes a second, and pauses.

    Args:
        rate: pushes per second; None: no bound.
    """

    def __init__(self, rate: float | None) -> None:
        self.rate = rate
        self.paused_until = 0.0
        self._next = 0.0  # when the next push may leave, if it were on time

    def pause(self, until: float) -> None:
        """Nothing leaves until then. A shorter pause does not end a longer one."""
        self.paused_until = max(self.paused_until, until)

    def is_paused(self, now: float) -> bool:
        return now < self.paused_until

    def take(self, now: float) -> float:
        """A push wants to leave: seconds that it has to wait. Its place is taken."""
        wait = self.paused_until - now
        if self.rate is None:
            return max(wait, 0.0)
        at = max(self._next, now - BURST, self.paused_until)
        self._next = at + 1 / self.rate
        return max(at - now, 0.0)
