"""Echo: events that are answered by an event.

With a rate: a schedule that nothing delays (open loop), a message counts from when it was to be
sent. Without: each client sends as soon as it has its answer (closed loop): service times, and how
many a second the server can do; what waits outside of it is not seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from hocket.bench.clients import NEVER
from hocket.bench.messages import Message, Ran
from hocket.bench.plan import SECOND, Plan
from hocket.bench.scenarios.base import Scenario
from hocket.bench.speech import message, read


class Schedule:
    """Times at even distances, of which each process has its own.

    Args:
        rate: a second, all processes together.
        number, processes: whose share this is.
    """

    def __init__(self, rate: float, number: int, processes: int) -> None:
        self._distance = SECOND * processes / rate
        self._offset = SECOND * number / rate
        self._done = 0
        self._began = self._until = 0

    def begin(self, at: int, until: int) -> None:
        self._began, self._until, self._done = at, until, 0

    def next(self) -> int:
        """When the next one is; NEVER after the last."""
        if not self._until:
            return NEVER
        at = self._began + int(self._offset + self._done * self._distance)
        return at if at < self._until else NEVER

    def step(self) -> None:
        self._done += 1

    def end(self) -> None:
        self._until = 0

    @property
    def left(self) -> int:
        """How many are still to come."""
        span = self._until - self._began - self._offset
        return max(0, math.ceil(span / self._distance) - self._done) if self._until else 0


class Echo(Scenario):
    """What a process does."""

    def __init__(self, plan: Plan, number: int, say: Callable[[Message], None]) -> None:
        super().__init__(plan, number, say)
        self._schedule = Schedule(plan.rate, number, plan.processes) if plan.rate else None
        self._order: list[int] = []
        self._turn = 0
        self._begin = self._until = 0
        self._open: dict[int, set[int]] = {}  # fd to the messages that are not answered
        self._all_open = 0

    def run(self, at: int, until: int) -> None:
        self._order = list(self.clients.live)
        self._begin, self._until = at, until
        if self._schedule is not None:
            self._schedule.begin(at, until)

    def due(self) -> int:
        if not self._until:
            return NEVER
        if self._schedule is None and self._begin:
            return self._begin
        end = self._until
        if time.monotonic_ns() >= end:
            end += self.plan.timeout_ns
        return min(end, self._schedule.next()) if self._schedule is not None else end

    def act(self, now: int) -> None:
        if self._schedule is None:
            self._say_first(now)
            return
        # A turn's worth at most: answers are to be read in time too.
        for _ in range(64):
            at = self._schedule.next()
            if at > now:
                return
            self._schedule.step()
            if (fd := self._choose()) is not None:
                self.lag.add(time.monotonic_ns() - at)
                self._say(fd, at)
            else:
                self.skipped += 1

    def _say_first(self, now: int) -> None:
        """In a closed loop each client begins once, and all at the same time."""
        if self._begin and now >= self._begin:
            self._begin = 0
            for fd in self._order:
                if fd in self.clients.live:
                    self._say(fd, time.monotonic_ns())

    def _choose(self) -> int | None:
        """The next client in turn that is still there."""
        for _ in range(len(self._order)):
            self._turn = (self._turn + 1) % len(self._order)
            fd = self._order[self._turn]
            if fd in self.clients.live:
                return fd
        return None

    def _say(self, fd: int, at: int) -> None:
        text = message(at, self.sent + 1, self.plan.size)
        if self.clients.send(fd, self.clients.speech.event("echo", text)):
            self.sent += 1
            self._open.setdefault(fd, set()).add(self.sent)
            self._all_open += 1

    def text(self, fd: int, text: bytes) -> None:
        now = time.monotonic_ns()
        found = read(text)
        if found is None or found[1] > self.sent:
            self.unexpected += 1
            return
        if found[1] not in self._open.get(fd, ()):  # a second time, or another client's
            self.duplicated += 1
            return
        self._open[fd].remove(found[1])
        self._all_open -= 1
        self.received += 1
        self.last = now
        self.latency.add(now - found[0])
        if self._schedule is None and now < self._until:
            self._say(fd, now)

    def lost(self, fd: int, number: int) -> None:
        super().lost(fd, number)
        self._all_open -= len(self._open.pop(fd, ()))

    def look(self) -> None:
        super().look()
        now = time.monotonic_ns()
        if not self._until or now < self._until:
            return
        sent = self._schedule is None or self._schedule.next() == NEVER
        if (sent and not self._all_open) or now > self._until + self.plan.timeout_ns:
            self._until = 0
            if self._schedule is not None:
                self.skipped += self._schedule.left
                self._schedule.end()
            self.say(Ran())
