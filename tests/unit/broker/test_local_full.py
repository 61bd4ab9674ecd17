"""What a broker does when another process does not keep up."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets

from hocket.broker.channel import close_files
from hocket.broker.local import LocalBroker
from hocket.broker.messages import Called, Moved
from hocket.broker.roles import APP
from tests.support import asynchronous


def broker(pauses: list[bool], limit: int) -> LocalBroker:
    loop = asyncio.get_running_loop()
    return LocalBroker(loop, pauses.append, lambda *_: None, limit)


def fill(one: LocalBroker) -> None:
    """Say so much to the process 1 that its kernel takes no more."""
    for _ in range(100):
        one.send(1, Moved("", False, bytes(10_000)))
    one._links[1].channel.flush()


@asynchronous
async def test_emitters_wait_for_it_too() -> None:
    pauses: list[bool] = []
    one = broker(pauses, 100_000)
    ours, theirs = sockets.socketpair()
    emitter, others = sockets.socketpair()
    one.link(1, ours)
    early = one.hear(emitter)
    with theirs, others:
        fill(one)
        assert pauses == [True]
        late_end, more = sockets.socketpair()
        with more:
            late = one.hear(late_end)
            assert early._held
            assert late._held
            theirs.setblocking(False)
            while pauses == [True]:
                await asyncio.sleep(0)
                try:
                    theirs.recv(1 << 20)
                except BlockingIOError:
                    continue
            assert not early._held
            assert not late._held
    one.close()


@asynchronous
async def test_who_gives_its_links_away_waits_for_nobody() -> None:
    """Else `await app.drain()` of a handler that still runs would wait for ever."""
    pauses: list[bool] = []
    one = broker(pauses, 100_000)
    ours, theirs = sockets.socketpair()
    one.link(1, ours)
    with theirs:
        fill(one)
        for _, files in one.give_links():
            close_files(files)
        assert pauses == [True, False]
        assert not one.full
    one.close()


@asynchronous
async def test_what_is_said_to_others_after_that_goes_through_the_new_process() -> None:
    one = broker([], 100_000)
    ours, theirs = sockets.socketpair()
    one.link(1, ours)
    told: list[tuple[int, bytes]] = []
    with theirs:
        for _, files in one.give_links():
            close_files(files)
        one.after = lambda peer, data: told.append((peer, data))
        one.pass_on(1, b"an answer")
        assert told == [(1, b"an answer")]
    one.close()


@asynchronous
async def test_an_app_process_that_hangs_stops_nobody() -> None:
    pauses: list[bool] = []
    one = broker(pauses, 100_000)
    ours, theirs = sockets.socketpair()
    one.link(1, ours, APP)
    with theirs:
        fill(one)
        assert pauses == []
        assert one.emptiest(APP) is None
    one.close()


@asynchronous
async def test_an_answer_of_any_length_stops_nobody() -> None:
    """Who asks for all sockets of a large worker is told of each."""
    pauses: list[bool] = []
    one = broker(pauses, 100_000)
    ours, theirs = sockets.socketpair()
    one.link(1, ours)
    with theirs:
        one.send(1, Called(1, [[bytes(1_000_000)]], 0))
        one._links[1].channel.flush()
        assert pauses == []
        fill(one)  # behind it
        assert pauses == [True]
        theirs.setblocking(False)
        while one._links[1].channel.pending:
            await asyncio.sleep(0)
            with contextlib.suppress(BlockingIOError):
                theirs.recv(1 << 20)
        assert pauses == [True, False]
    one.close()
