"""Rounds: a message to everybody (`broadcast`), or one in every room at the same time (`rooms`).
Each client must get each round once, in order.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from typing import Final

from hocket.bench.clients import NEVER
from hocket.bench.latency import Latency
from hocket.bench.messages import Message, Round, Send
from hocket.bench.plan import Plan
from hocket.bench.scenarios.base import Scenario
from hocket.bench.speech import message, read

OPEN: Final = 1024  # rounds that may be unfinished; an older one is settled as it is, and so is one
# that has had its time


class _Round:
    """One that is under way."""

    def __init__(self, at: int, missing: int) -> None:
        self.at = at
        self.latencies = array("q")
        self.missing = missing
        self.last = 0


class Rounds(Scenario):
    """What a process does: count who got which round; and send, those who have to."""

    def __init__(self, plan: Plan, number: int, say: Callable[[Message], None]) -> None:
        super().__init__(plan, number, say)
        self._got: dict[int, int] = {}  # fd to the last round
        self._rounds: dict[int, _Round] = {}
        self._settled: set[int] = set()  # rounds that are over
        self._to_send: list[Send] = []

    def send_round(self, number: int, at: int) -> None:
        self._to_send.append(Send(number, at))

    def due(self) -> int:
        return self._to_send[0].at if self._to_send else NEVER

    def act(self, now: int) -> None:
        while self._to_send and self._to_send[0].at <= now:
            task = self._to_send.pop(0)
            text = message(task.at, task.number, self.plan.size)
            for fd, name, words in self.senders():
                self.lag.add(time.monotonic_ns() - task.at)
                frame = self.clients.speech.event(name, text, *words)
                self.sent += self.clients.send(fd, frame)

    def senders(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Who sends in a round, which event, with which arguments before the message."""
        raise NotImplementedError

    # What comes

    def text(self, fd: int, text: bytes) -> None:
        now = time.monotonic_ns()
        found = read(text)
        if found is None:
            self.unexpected += 1
            return
        at, number = found
        if number <= self._got.get(fd, 0):
            self.duplicated += 1
            return
        self._got[fd] = number
        if (of := self._rounds.get(number)) is None:
            if number in self._settled:
                self.unexpected += 1  # too late: it counts as missing
                return
            of = self._begin(number, at)
        self.received += 1
        of.latencies.append(now - at)
        of.last = now
        of.missing -= 1
        if not of.missing:
            self.settle(number)

    def _begin(self, number: int, at: int) -> _Round:
        of = self._rounds[number] = _Round(at, len(self.clients.live))
        if len(self._rounds) > OPEN:
            self.settle(min(self._rounds))
        return of

    def look(self) -> None:
        super().look()
        late = time.monotonic_ns() - self.plan.timeout_ns
        while self._rounds and self._rounds[first := next(iter(self._rounds))].at < late:
            self.settle(first)

    def lost(self, fd: int, number: int) -> None:
        super().lost(fd, number)
        got = self._got.pop(fd, 0)
        for open_number, of in list(self._rounds.items()):
            if got < open_number:
                of.missing -= 1
                if not of.missing:
                    self.settle(open_number)

    def settle(self, number: int) -> None:
        if number in self._settled:
            return
        of = self._rounds.pop(number, None) or _Round(0, len(self.clients.live))
        self._settled.add(number)
        latency = Latency()
        latency.add_all(of.latencies)
        self.say(Round(number, len(of.latencies), of.missing, of.last, latency.encoded()))


class Broadcast(Rounds):
    """The first client that is left says it to all."""

    def senders(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        for fd in self.clients.live:
            yield fd, "all", ()
            return


class Rooms(Rounds):
    """In each room whose first member is one of this process's: that one says it, or else the first
    that is left of its members here.
    """

    def senders(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        rooms, share = self.plan.rooms, self.plan.share(self.number)
        mute = {number for number in share if number < rooms}
        for fd, number in list(self.clients.live.items()):
            if number % rooms in mute:
                mute.discard(number % rooms)
                yield fd, "room", (self.clients.speech.room(number),)
