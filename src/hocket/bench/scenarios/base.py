"""A scenario: what each process of the load generator does in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from hocket.bench.clients import NEVER, Clients
from hocket.bench.latency import Latency
from hocket.bench.messages import Connected, Message, Report
from hocket.bench.plan import Plan


class Scenario:
    """The base of all: brings clients in and counts. Methods of a clients.Listener among them.

    Args:
        plan: what is measured.
        number: of this process.
        say: sends a message to the conductor.
    """

    clients: Clients  # given before anything happens

    def __init__(self, plan: Plan, number: int, say: Callable[[Message], None]) -> None:
        self.plan = plan
        self.number = number
        self.say = say
        self.sent = 0
        self.received = 0
        self.last = 0  # when the last of them came
        self.failures = 0
        self.lost_count = 0
        self.unexpected = 0
        self.duplicated = 0
        self.skipped = 0  # that were due and never sent
        self.latency = Latency()
        self.lag = Latency()
        self._connect_latency: Latency | None = None
        self._last_in = 0

    # What the conductor asks for

    def connect(self, at: int) -> None:
        self._connect_latency = Latency()
        self.clients.begin(at)
        intended = at if self.plan.scenario == "storm" else 0
        for number in self.plan.share(self.number):
            self.clients.open(number, intended)

    def send_round(self, number: int, at: int) -> None: ...
    def settle(self, number: int) -> None: ...
    def run(self, at: int, until: int) -> None: ...

    # The schedule

    def due(self) -> int:
        """When `act` has something to do next."""
        return NEVER

    def act(self, now: int) -> None:
        """Do what is due."""

    def look(self) -> None:
        """After each turn."""
        if self.clients.is_settled:
            self.tell_connected()

    def tell_connected(self) -> None:
        """Who is in: when nobody is on the way any more, or when all is over before that."""
        if self._connect_latency is not None:
            latency, self._connect_latency = self._connect_latency, None
            ready = len(self.clients.live)
            self.say(Connected(ready, self.failures, self._last_in, latency.encoded()))

    # What happens to clients

    def ready(self, fd: int, number: int, intended: int) -> None:
        self._last_in = time.monotonic_ns()
        if self._connect_latency is not None:
            self._connect_latency.add(self._last_in - intended)

    def text(self, fd: int, text: bytes) -> None:
        self.unexpected += 1

    def lost(self, fd: int, number: int) -> None:
        self.lost_count += 1

    def failed(self, number: int) -> None:
        self.failures += 1

    def report(self) -> Report:
        """What there is to say in the end. The rest is filled in by the process."""
        return Report(
            live=len(self.clients.live),
            sent=self.sent,
            received=self.received,
            last=self.last,
            latency=self.latency.encoded(),
            lag=self.lag.encoded(),
            duplicated=self.duplicated,
            unexpected=self.unexpected,
            skipped=self.skipped,
            failed=self.failures,
        )


class Maker(Protocol):
    """Makes a scenario for a process."""

    def __call__(self, plan: Plan, number: int, say: Callable[[Message], None], /) -> Scenario: ...
