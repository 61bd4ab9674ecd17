"""What all processes of an instance have counted, those that have ended too: a counter never falls
while the server lives, for Prometheus takes a fall as a new beginning.

Who starts them asks them, and remembers what each said last, before anybody is shown it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from hocket.instance.control import AllCounted, Counted, Numbers
from hocket.instance.hand import Hand

PATIENCE: Final = 2.0  # seconds that a process may take to tell its numbers


class Left(msgspec.Struct):
    """What a process leaves to the supervisor that it becomes: the counters of those that have
    ended; of the worker that it has started, its numbers and what was under way to and from it.
    """

    ended: Numbers = {}
    counted: Counted = Counted()
    received: bytes = b""
    unsent: bytes = b""

    def write(self) -> int:
        """To a file in memory, where there is such a thing; its fd."""
        linux = sys.platform == "linux"
        with open(os.memfd_create("left"), "wb") if linux else tempfile.TemporaryFile() as file:
            file.write(msgspec.msgpack.encode(self))
            file.flush()
            file.seek(0)
            return os.dup(file.fileno())

    @classmethod
    def read(cls, fd: int) -> Left:
        with open(fd, "rb") as file:
            return msgspec.msgpack.decode(file.read(), type=cls)


class Totals:
    """Answers workers that ask for the numbers of all.

    Args:
        hands: gives those that are there.
        own: gives the numbers of this process, which may be a worker itself.
    """

    def __init__(
        self, hands: Callable[[], Iterable[Hand]], own: Callable[[], Counted] = Counted
    ) -> None:
        self._hands = hands
        self._own = own
        self._ended: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ended(self) -> Numbers:
        """The counters of those that have ended, together."""
        return {name: list(values.items()) for name, values in self._ended.items()}

    def add(self, counters: Numbers) -> None:
        """Of one that has ended."""
        for name, values in counters.items():
            for labels, number in values:
                self._ended[name][labels] += number  # type: ignore[assignment]  # a float

    def answer(self, hand: Hand) -> None:
        """As soon as all have told theirs, but for those that stand still."""
        task = asyncio.get_running_loop().create_task(self._answer(hand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, hand: Hand) -> None:
        if asked := {each: each.count() for each in self._hands() if each.can_count}:
            await asyncio.wait(asked.values(), timeout=PATIENCE)
        own, there = self._own(), list(self._hands())
        # Of one that stands still, a gauge would be out of date; what it has counted is not.
        gauges = [each.counted.gauges for each in there if each in asked and asked[each].done()]
        counters = [each.counted.counters for each in there]
        hand.tell(AllCounted([self.ended, own.counters, *counters, own.gauges, *gauges]))
