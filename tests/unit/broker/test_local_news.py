"""How often processes tell each other how many connections they have."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager

from hocket.broker.local import NEWS, NEWS_EACH, SEVERAL, LocalBroker
from hocket.broker.messages import Moved
from hocket.broker.roles import APP, WORKER
from tests.support import asynchronous, eventually

MANY = 4 * SEVERAL + 3


@contextmanager
def linked(count: int) -> Iterator[tuple[LocalBroker, LocalBroker]]:
    """A broker with so many others, and the first of those."""
    loop = asyncio.get_running_loop()
    one, *others = [LocalBroker(loop, lambda _: None, lambda *_: None) for _ in range(count + 1)]
    for number, other in enumerate(others, 1):
        ends = sockets.socketpair()
        one.link(number, ends[0])
        other.link(0, ends[1])
    try:
        yield one, others[0]
    finally:
        for broker in (one, *others):
            broker.close()


@asynchronous
async def test_a_few_are_told_of_every_change_soon() -> None:
    with linked(3) as (one, other):
        assert one.news == NEWS
        one.announce(NEWS - 1)
        one.announce(NEWS)
        await eventually(lambda: other.shares() == [NEWS])
        one.tick(NEWS + 1, unchanged=False)
        await eventually(lambda: other.shares() == [NEWS + 1])


@asynchronous
async def test_many_are_told_of_large_changes_at_once_and_of_small_ones_later() -> None:
    with linked(MANY) as (one, other):
        assert one.news == NEWS_EACH * MANY
        one.announce(NEWS_EACH * MANY - 1)
        for _ in range(MANY // SEVERAL):
            one.tick(5, unchanged=False)
        one.announce(NEWS_EACH * MANY)
        await eventually(lambda: other.shares() != [0])
        assert other.shares() == [NEWS_EACH * MANY]
        one.tick(5, unchanged=False)
        await eventually(lambda: other.shares() == [5])


@asynchronous
async def test_who_takes_nothing_is_told_the_last_number_alone() -> None:
    """However long it stands still, nothing piles up."""
    with linked(2) as (one, other):
        other.hold(True)
        link = one._links[1]
        while not link.channel.blocked:
            one.send(1, Moved("", False, bytes(100_000)))
            link.channel.flush()
        waits = link.channel.pending
        for number in range(1_000):
            one.tick(number, unchanged=True)
        assert link.channel.pending == waits
        other.hold(False)
        await eventually(lambda: not link.channel.blocked)
        one.tick(999, unchanged=False)
        await eventually(lambda: other.shares() == [999])
        one.tick(999, unchanged=False)  # is no news any more
        assert not link.channel.pending


@asynchronous
async def test_those_who_count_along_are_told_too_that_nothing_has_changed() -> None:
    with linked(1) as (one, other):
        assert other.emptiest("worker") == 0
        assert other.shares() == [1]
        one.tick(0, unchanged=False)
        one.tick(0, unchanged=True)
        await eventually(lambda: other.shares() == [0])


@asynchronous
async def test_applications_that_hang_are_avoided_and_stop_nobody() -> None:
    pauses: list[bool] = []
    broker = LocalBroker(asyncio.get_running_loop(), pauses.append, lambda *_: None, limit=1_000)
    ends = [sockets.socketpair() for _ in range(2)]
    broker.link(1, ends[0][0], APP)
    broker.link(2, ends[1][0], WORKER)
    try:
        for _ in range(100):
            broker.send(1, Moved("", False, bytes(10_000)))
        await asyncio.sleep(0)
        assert (pauses, broker.emptiest(APP)) == ([], None)
        for _ in range(100):
            broker.send(2, Moved("", False, bytes(10_000)))
        assert (pauses, broker.emptiest(WORKER)) == ([True], 2)
    finally:
        broker.close()
        for _, other in ends:
            other.close()
