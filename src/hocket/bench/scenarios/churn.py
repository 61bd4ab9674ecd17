"""Churn: so many clients a second leave, the oldest first, and others come in their places."""

from __future__ import annotations

import time
from collections.abc import Callable

from hocket.bench.clients import NEVER
from hocket.bench.messages import Message, Ran
from hocket.bench.plan import Plan
from hocket.bench.scenarios.base import Scenario
from hocket.bench.scenarios.echo import Schedule


class Churn(Scenario):
    """What a process does. A new client's latency counts from when it was to come."""

    def __init__(self, plan: Plan, number: int, say: Callable[[Message], None]) -> None:
        super().__init__(plan, number, say)
        self._schedule = Schedule(plan.rate, number, plan.processes)
        self._running = False
        self._until = 0

    def run(self, at: int, until: int) -> None:
        self._schedule.begin(at, until)
        self._until = until
        self._running = True

    def due(self) -> int:
        if not self._running:
            return NEVER
        at = self._schedule.next()
        return self._until if at == NEVER and time.monotonic_ns() < self._until else at

    def act(self, now: int) -> None:
        while (at := self._schedule.next()) <= now:
            self._schedule.step()
            self.lag.add(now - at)
            if self.clients.live:
                fd, number = next(iter(self.clients.live.items()))
                self.clients.leave(fd)
                self.clients.open(number, at)
                self.sent += 1
            else:
                self.skipped += 1

    def ready(self, fd: int, number: int, intended: int) -> None:
        super().ready(fd, number, intended)
        if self._running:
            self.received += 1
            self.last = time.monotonic_ns()
            self.latency.add(self.last - intended)

    def look(self) -> None:
        super().look()
        is_over = time.monotonic_ns() >= self._until and self._schedule.next() == NEVER
        if self._running and is_over and self.clients.is_settled:
            self._running = False
            self.say(Ran())
