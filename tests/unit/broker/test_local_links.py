"""Links on their way from a process to the one that takes its place."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager

from hocket.broker.local import LocalBroker
from hocket.broker.messages import Leaving
from hocket.broker.roles import APP, WORKER
from tests.support import asynchronous, eventually


def broker() -> LocalBroker:
    return LocalBroker(asyncio.get_running_loop(), lambda _: None, lambda *_: None)


@contextmanager
def linked(*roles: str) -> Iterator[tuple[LocalBroker, list[LocalBroker]]]:
    """A worker of the number 0, and a process of each of these roles, from 1 on."""
    one, others = broker(), [broker() for _ in roles]
    for number, (role, other) in enumerate(zip(roles, others, strict=True), 1):
        ends = sockets.socketpair()
        one.link(number, ends[0], role)
        other.link(0, ends[1], WORKER)
    try:
        yield one, others
    finally:
        for each in (one, *others):
            each.close()


def succeed(old: LocalBroker) -> LocalBroker:
    """A process takes the place of another, which has closed nothing."""
    new = broker()
    for given, fd in old.give_links():
        new.take_link(given, fd)
    return new


@asynchronous
async def test_a_process_that_is_about_to_leave_is_known_to_the_next_one_too() -> None:
    """Else it would send what it is given back, in circles."""
    with linked(APP, APP) as (one, (leaver, _)):
        leaver.tell_everybody(Leaving())
        await eventually(lambda: one._links[1].leaving)
        new = succeed(one)
        assert [new.emptiest(APP) for _ in range(3)] == [2, 2, 2]
        new.close()
