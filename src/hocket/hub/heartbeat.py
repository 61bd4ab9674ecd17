"""One timing wheel for all connections of a worker: no timer per connection.

A wheel is a ring of slots, a slot a tick long. Something that is due in n ticks goes into the slot
n places on; when its tick comes it is handed out and may be put in again. Nothing is ever taken out
early: whoever is handed out looks at its own state first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """A ring of slots.

    Args:
        tick: seconds a slot is long.
        horizon: the longest time, in seconds, that anything is put off for.
        now: seconds, on the clock that `advance` is called with.
    """

    __slots__ = ("_slots", "now", "start", "tick")

    def __init__(self, tick: float, horizon: float, now: float) -> None:
        self.tick = tick
        self.start = now
        self.now = 0
        self._slots: list[list[T]] = [[] for _ in range(int(horizon / tick) + 2)]

    def ticks(self, seconds: float) -> int:
        """A duration in ticks, rounded up; at least 1."""
        return max(1, -int(-seconds // self.tick))

    def put(self, item: T, ticks: int) -> None:
        """Hand out `item` in so many ticks (1 up to the horizon)."""
        slots = self._slots
        size = len(slots)
        slots[(self.now + (ticks if ticks < size else size - 1)) % size].append(item)

    def advance(self, now: float) -> Iterator[T]:
        """Everything that has come due by `now`. Items may be put back while this is iterated."""
        target = int((now - self.start) / self.tick)
        self.now = max(
            self.now, target - len(self._slots)
        )  # more than once round is as good as once
        while self.now < target:
            self.now += 1
            index = self.now % len(self._slots)
            due, self._slots[index] = self._slots[index], []
            yield from due
