"""The reactor over a real epoll, which tells of each fd once: nothing that came is left there."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from collections.abc import Callable
from typing import Any

import pytest

from hocket.transport.poller import BATCH, DRAIN, EpollPoller
from hocket.transport.reactor import READ, Reactor


class Reader:
    """A transport that keeps what it gets; each takes `cost` seconds of the reactor's clock."""

    def __init__(self, cost: float = 0.0) -> None:
        self.got: list[bytes] = []
        self.ends = 0
        self.cost = cost
        self.now = 0.0
        self.when_received: Callable[[End], None] = lambda end: None

    def clock(self) -> float:
        return self.now

    def received(self, end: End, data: bytes) -> None:
        self.now += self.cost
        self.got.append(data)
        self.when_received(end)

    def ended(self, end: End) -> None:
        self.ends += 1

    failed = ended

    def writable(self, end: End) -> None: ...


class End:
    def __init__(self, fd: int, transport: Reader) -> None:
        self.fd = fd
        self.transport = transport


class Wires:
    """Endpoints of a reactor, and the peers' sides."""

    def __init__(self, reader: Reader, count: int) -> None:
        self.reactor = Reactor(asyncio.get_running_loop(), reader.clock)
        self.theirs = []
        self.ends = []
        for _ in range(count):
            ours, theirs = sockets.socketpair()
            ours.setblocking(False)
            self.ends.append(End(ours.detach(), reader))
            self.theirs.append(theirs)

    def start(self) -> None:
        for end in self.ends:
            self.reactor.add(end)

    def close(self) -> None:
        self.reactor.close_all()
        for theirs in self.theirs:
            theirs.close()


def run(scenario: Callable[[Wires], Any], reader: Reader, count: int = 1) -> None:
    async def main() -> None:
        wires = Wires(reader, count)
        try:
            async with asyncio.timeout(5):
                await scenario(wires)
        finally:
            wires.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_an_end_behind_bytes_that_came_with_it_is_seen() -> None:
    reader = Reader()

    async def scenario(wires: Wires) -> None:
        wires.theirs[0].send(b"the last")
        wires.theirs[0].shutdown(sockets.SHUT_WR)
        wires.start()
        await until(lambda: reader.ends > 0)
        assert reader.got == [b"the last"]

    run(scenario, reader)


def test_an_end_between_the_kernels_word_and_the_read_is_seen() -> None:
    """The bytes of two are announced; the second ends while the first is served."""
    reader = Reader()

    async def scenario(wires: Wires) -> None:
        def end_the_other(end: End) -> None:
            wires.theirs[1 - wires.ends.index(end)].shutdown(sockets.SHUT_WR)

        reader.when_received = end_the_other
        for theirs in wires.theirs:
            theirs.send(b"bytes")
        wires.start()
        await until(lambda: reader.ends == 2)
        assert reader.got == [b"bytes", b"bytes"]

    run(scenario, reader, 2)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_one_read_leaves_is_read_by_the_next(more: int) -> None:
    reader = Reader()
    size = READ + more

    async def scenario(wires: Wires) -> None:
        wires.theirs[0].setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 2 * size)
        wires.theirs[0].sendall(bytes(size))
        wires.start()
        await until(lambda: sum(map(len, reader.got)) == size)

    run(scenario, reader)


def test_who_was_announced_when_the_time_was_up_is_served_without_further_news() -> None:
    reader = Reader(cost=DRAIN)

    async def scenario(wires: Wires) -> None:
        for theirs in wires.theirs:
            theirs.send(b"x")
        wires.start()
        await until(lambda: len(reader.got) == len(wires.ends))

    run(scenario, reader, BATCH + 5)


Act = Callable[[Reactor, End], None]
ONE: tuple[Act, Act] = (Reactor.hold, Reactor.release)
ALL: tuple[Act, Act] = (
    lambda reactor, end: reactor.pause(True),
    lambda reactor, end: reactor.pause(False),
)


@pytest.mark.parametrize(("stop", "go_on"), [ONE, ALL], ids=["one", "all"])
def test_what_comes_while_nobody_reads_is_read_afterwards(stop: Act, go_on: Act) -> None:
    reader = Reader()

    async def scenario(wires: Wires) -> None:
        wires.start()
        stop(wires.reactor, wires.ends[0])
        wires.theirs[0].send(b"meanwhile")
        wires.theirs[0].shutdown(sockets.SHUT_WR)
        for _ in range(5):
            await asyncio.sleep(0)
        assert reader.got == []
        go_on(wires.reactor, wires.ends[0])
        await until(lambda: reader.ends > 0)
        assert reader.got == [b"meanwhile"]

    run(scenario, reader)


def test_a_pause_among_those_that_were_announced_loses_nobody() -> None:
    reader = Reader()

    async def scenario(wires: Wires) -> None:
        reader.when_received = lambda end: wires.reactor.pause(True)
        for theirs in wires.theirs:
            theirs.send(b"x")
        wires.start()
        for count in range(1, 5):
            await until(lambda count=count: len(reader.got) == count)  # type: ignore[misc]
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(reader.got) == count
            wires.reactor.pause(False)

    run(scenario, reader, 4)


def test_who_was_closed_after_it_was_announced_stops_nobody() -> None:
    async def scenario() -> None:
        poller = EpollPoller(asyncio.get_running_loop(), lambda fds: None, False, lambda: 0.0)
        ours, theirs = sockets.socketpair()
        poller.add(ours.fileno())
        fd = ours.detach()
        os.close(fd)
        poller.again(fd)  # of an end that was handed out with the others
        poller.close()
        theirs.close()

    asyncio.run(scenario())
