"""Links on their way from a process to the one that takes its place."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hocket.broker.local import LocalBroker
from hocket.broker.messages import Answer, Called, Chosen, Leaving, Moved, Who
from hocket.broker.roles import APP, WORKER
from hocket.broker.succession import LinkTo, Pass
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


def succeed(old: LocalBroker, new: LocalBroker | None = None) -> LocalBroker:
    """A process takes the place of another, which has closed nothing; see handover.Heir."""
    new = new or broker()
    for message, files in old.give_links():
        if isinstance(message, Pass):
            new.pass_on(message.peer, message.message, files)
        else:
            new.take_link(message, *files)
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


@asynchronous
async def test_a_dead_link_that_comes_late_does_not_replace_a_good_one() -> None:
    """The old process reads nothing while much waits there, so it does not know that the other has
    ended; the new one knows the one that came instead already.
    """
    with linked(WORKER) as (old, (died,)):
        new, restarted = broker(), broker()
        old.hold(True)
        died.close()
        ends = sockets.socketpair()
        new.link(1, ends[0])
        restarted.link(0, ends[1])
        succeed(old, new)
        await asyncio.sleep(0.05)
        assert (new.peers, restarted.peers) == ([1], [0])
        new.close()
        restarted.close()


@asynchronous
async def test_a_link_that_the_old_process_passes_on_is_the_newer_one() -> None:
    with linked(WORKER) as (old, (died,)):
        new, restarted = broker(), broker()
        died.close()
        succeed(old, new)
        ends = sockets.socketpair()
        restarted.link(0, ends[1])
        new.take_link(LinkTo(1, b"", b"", [], 0, is_newer=True), ends[0].detach())
        await asyncio.sleep(0.05)
        assert (new.peers, restarted.peers) == ([1], [0])
        new.close()
        restarted.close()


@asynchronous
async def test_an_answer_to_a_dead_process_is_none_to_the_one_that_has_its_number() -> None:
    other = broker()
    asked: list[Any] = []
    other.attend(lambda _, message: asked.append(message))

    def begin() -> tuple[LocalBroker, asyncio.Future[Answer | None]]:
        """A process of the number 0 that asks the other something."""
        one, ends = broker(), sockets.socketpair()
        one.link(1, ends[0])
        other.link(0, ends[1])
        (answer,) = one.ask(lambda id: Who(id, Chosen("/")))
        return one, answer

    dead, _ = begin()
    await eventually(lambda: len(asked) == 1)
    dead.close()
    alive, answer = begin()
    await eventually(lambda: len(asked) == 2)
    other.send(0, Called(asked[0].id, [["late"]], 0))
    other.send(0, Called(asked[1].id, [["here"]], 0))
    assert await answer == Called(asked[1].id, [["here"]], 0)
    for each in (alive, other):
        each.close()


@asynchronous
async def test_connections_that_wait_go_along_and_what_is_behind_them_stays_there() -> None:
    """Who leaves ends when all have answered: by then what was on its way has come."""
    with linked(WORKER) as (one, (other,)):
        leaving: list[bool] = []

        def moved(fd: int, message: Moved) -> None:
            os.close(fd)
            leaving.append(other._links[0].leaving)

        other._moved = moved
        other.hold(True)
        one.send(1, Moved("", False, bytes(1_000_000)))  # more than the kernel takes
        reading, writing = os.pipe()
        os.close(writing)
        one.send(1, Moved("", False, b""), [reading])
        one.tell_everybody(Leaving())
        new = succeed(one)
        other.hold(False)
        await eventually(lambda: other._links[0].leaving)
        assert leaving == [False]
        new.close()
