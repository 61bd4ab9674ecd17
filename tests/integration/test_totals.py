"""The numbers of all processes, as who has started them adds them up: real channels to processes
that the test plays.
"""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hocket.broker.channel import Channel
from hocket.broker.roles import STORE, WORKER
from hocket.instance.control import AllCounted, AnyMessage, Count, Counted, decode, encode
from hocket.instance.hand import Adopted, Hand
from hocket.instance.roles import Role
from hocket.instance.totals import Left, Totals
from tests.support import asynchronous, eventually, turns


class Process:
    """One that is ready, and what it has heard; `answers` with its numbers, or stands still."""

    def __init__(self, role: Role, events: int, rooms: int, answers: bool = True) -> None:
        ours, theirs = sockets.socketpair()
        self.hand = Hand(role, 0, Adopted(0), ours, lambda hand, message: None)
        self.hand.ready.set_result(True)
        self.events, self.rooms, self.answers = events, rooms, answers
        self.heard: list[AnyMessage] = []
        self.channel = Channel(asyncio.get_running_loop(), theirs, self._hear, lambda: None)

    def _hear(self, data: bytes, files: list[int]) -> None:
        message = decode(data)
        self.heard.append(message)
        if isinstance(message, Count) and self.answers:
            self.count()

    def count(self) -> None:
        numbers = Counted({"events": [((), self.events)]}, {"rooms": [((), self.rooms)]})
        self.channel.send(encode(numbers))

    async def told(self, totals: Totals, times: int = 1) -> dict[str, float]:
        """The sums, asked for so many times at once."""
        self.heard.clear()
        for _ in range(times):
            totals.answer(self.hand)
        await eventually(lambda: len(self._answers()) == times)
        found: dict[str, float] = {}
        for each in self._answers()[-1].told:
            for name, values in each.items():
                found[name] = found.get(name, 0) + sum(number for _, number in values)
        return found

    def _answers(self) -> list[AllCounted]:
        return [each for each in self.heard if isinstance(each, AllCounted)]


@contextmanager
def processes(*given: tuple[int, int]) -> Iterator[list[Process]]:
    found = [Process(Role(WORKER), *each) for each in given]
    try:
        yield found
    finally:
        for each in found:
            each.channel.close()
            each.hand.channel.close()


@asynchronous
async def test_of_one_that_has_ended_its_counters_stay_and_its_gauges_go() -> None:
    with processes((3, 1), (5, 2)) as (one, other):
        there = [one.hand, other.hand]
        totals = Totals(lambda: there)
        assert await one.told(totals) == {"events": 8, "rooms": 3}
        other.events = 7
        other.count()  # its last words, which nobody has read when it is known to have ended
        other.channel.flush()
        other.hand.gone()
        totals.add(other.hand.counted.counters)
        there.remove(other.hand)
        assert await one.told(totals) == {"events": 10, "rooms": 1}


@asynchronous
async def test_of_one_that_stands_still_its_counters_stay_and_its_gauges_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with processes((3, 1), (5, 2)) as (one, other):
        totals = Totals(lambda: [one.hand, other.hand])
        assert await one.told(totals) == {"events": 8, "rooms": 3}
        other.answers, other.heard = False, []
        monkeypatch.setattr("hocket.instance.totals.PATIENCE", 0.01)
        for _ in range(3):
            assert await one.told(totals) == {"events": 8, "rooms": 1}
        await turns()
        assert other.heard == [Count()]  # it is asked once: what waits for it does not grow
        other.count()
        assert await one.told(totals) == {"events": 8, "rooms": 3}


@asynchronous
async def test_who_asks_at_once_hears_the_same() -> None:
    with processes((3, 1), (5, 2)) as (one, other):
        totals = Totals(lambda: [one.hand, other.hand])
        assert await one.told(totals, 3) == {"events": 8, "rooms": 3}


@asynchronous
async def test_programs_of_ours_and_who_is_not_ready_are_not_asked() -> None:
    with processes((3, 1)) as (one,):
        store = Process(Role(STORE, program=["store"]), 0, 0)
        starting = Process(Role(WORKER), 0, 0)
        starting.hand.ready = asyncio.get_running_loop().create_future()
        totals = Totals(lambda: [store.hand, one.hand, starting.hand])
        assert await one.told(totals) == {"events": 3, "rooms": 1}
        assert store.heard == starting.heard == []
        for each in (store, starting):
            each.channel.close()
            each.hand.channel.close()


def test_what_is_left_is_read_as_it_was_written() -> None:
    counted = Counted({"events": [(("a", "b"), 3.0)]}, {})
    left = Left({"events": [((), 7.0)]}, counted, b"half", b"a mess")
    fd = left.write()
    assert Left.read(fd) == left
    with pytest.raises(OSError, match="Bad file"):
        os.close(fd)
