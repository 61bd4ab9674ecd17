"""When HTTP connections must have got on: with a request, a body, or taking an answer."""

from __future__ import annotations

from collections.abc import Iterator

from hocket.hub.engine import HELD
from hocket.hub.heartbeat import Wheel
from hocket.transport.stream import HttpStream


class Deadlines:
    """Of all connections of a worker.

    Args:
        request_timeout: seconds in which a whole request must have come.
        keep_alive: seconds that a connection may rest between requests.
        now: seconds, on the clock that `overdue` is called with.
    """

    def __init__(self, request_timeout: float, keep_alive: float, now: float) -> None:
        tick = min(1.0, request_timeout / 4)
        self.wheel: Wheel[HttpStream] = Wheel(tick, max(request_timeout, keep_alive), now)
        self._request = self.wheel.ticks(request_timeout)
        self._keep_alive = self.wheel.ticks(keep_alive)
        self._slack = max(2 * tick, min(HELD, request_timeout / 4))
        # Who came since the last tick. Most are gone or another thing by then, and never in the
        # wheel.
        self._fresh: list[HttpStream] = []

    def begin(self, stream: HttpStream) -> None:
        """It has come."""
        stream.since = self.wheel.now
        self._fresh.append(stream)

    def overdue(self, now: float, hears: bool) -> Iterator[HttpStream]:
        """Those that take too long. While nobody is read from (`hears` is False), and when the loop
        was held, what they took so long for may have come: they are looked at again.
        """
        fresh, self._fresh = self._fresh, []
        for stream in fresh:
            if stream.fd >= 0:
                self.wheel.put(stream, self._request)
        before = self.wheel.now
        due = list(self.wheel.advance(now))
        late = (self.wheel.now - before) * self.wheel.tick
        for stream in due:
            if stream.fd < 0:
                continue
            wait = self._left(stream) if hears and late <= self._slack else 1
            if wait > 0:
                self.wheel.put(stream, wait)
            else:
                yield stream

    def _left(self, stream: HttpStream) -> int:
        """Ticks that it still has."""
        asked = stream.busy and (stream.intake is None or stream.intake.full)
        if asked and stream.backlog is None and not stream.ending:
            return self._request  # it waits for us
        limit = self._keep_alive if stream.is_resting else self._request
        return stream.since + limit - self.wheel.now
