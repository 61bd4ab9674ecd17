"""Which fds are ready: a nested epoll, or the event loop itself where there is no epoll."""

from __future__ import annotations

import asyncio
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol

DRAIN: Final = 0.002  # seconds of serving ready fds before the event loop has its turn
NEWCOMERS: Final = 0.0005  # seconds that are theirs where the others need all of DRAIN
BATCH: Final = 64  # fds asked for at a time


class Poller(Protocol):
    """Calls `serve` with registered fds that are ready, and with those to be read at least whenever
    more has come for them (edge-triggered): who leaves bytes there asks for it `again`. It must
    iterate over all of them: whether there is a next one is found out when it is asked for.
    """

    def add(self, fd: int, new: bool = False) -> None:
        """`new`: its first bytes may wait for what has come from others."""

    def remove(self, fd: int) -> None: ...
    def again(self, fd: int) -> None:
        """Serve it once more, if it is ready: not all was read."""

    def pause(self, paused: bool) -> None:
        """While paused, nobody is served."""

    def close(self) -> None: ...


class EpollPoller:
    """All fds in one epoll of our own, whose fd the event loop watches.

    To the loop it is one fd, so 15,000 clients cost it one callback a turn; a client costs nothing
    but its place in the kernel's epoll. Edge-triggered for reading: else the kernel looks at each
    fd twice, the second time to find nothing.

    The first bytes of a new client come last. The kernel names fds in the order in which they
    became ready, so when 7,500 come back at once everybody else would wait behind them: the p99 of
    echoes was 170 ms then, and is 26 (campaigns kill).

    Args:
        loop: the event loop.
        serve: called with ready fds; it must not raise.
        writable: wait until fds can be written to, instead of read from.
        clock: seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Iterable[int]], None],
        writable: bool,
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._serve = serve
        self._clock = clock
        self._asked = select.EPOLLOUT if writable else select.EPOLLIN
        edges = 0 if writable else select.EPOLLRDHUP | select.EPOLLET
        self._mask = self._asked | edges
        self._paused = False
        self._epoll = select.epoll()
        # Named by the kernel and not served yet, when the time was up. They come first the next
        # time: asked again, the kernel would name others, and these might never have their turn.
        self._ready = deque[tuple[int, int]]()
        self._newcomers = deque[tuple[int, int]]()
        self._unnamed: set[int] = set()  # new ones; each is among the newcomers once
        self._planned = False  # a drain at the loop's next turn
        self._loop.add_reader(self._epoll.fileno(), self._readable)

    def add(self, fd: int, new: bool = False) -> None:
        self._epoll.register(fd, self._mask)
        if new:
            self._unnamed.add(fd)

    def remove(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._unnamed.discard(fd)

    def again(self, fd: int) -> None:
        with suppress(OSError):  # it was removed, or closed, meanwhile
            self._epoll.modify(fd, self._mask)

    def pause(self, paused: bool) -> None:
        self._paused = paused
        if paused:
            self._loop.remove_reader(self._epoll.fileno())
        else:
            self._loop.add_reader(self._epoll.fileno(), self._readable)
            self._go_on_soon()

    def _readable(self) -> None:
        if not self._planned:  # one drain a turn: others wait for the event loop as well
            self.drain()

    def drain(self) -> None:
        """Serve what is ready, for a bounded time."""
        deadline = self._clock() + DRAIN
        more = True
        while more and not self._paused:
            more = bool(self._ready) or self._ask()
            self._serve(self._until(deadline, self._ready))
            if self._clock() >= deadline:
                break
        if self._newcomers and not self._paused:
            self._serve(self._until(max(deadline, self._clock() + NEWCOMERS), self._newcomers))
        self._go_on_soon()

    def _go_on_soon(self) -> None:
        if self._is_behind() and not self._planned:  # of which the kernel has told already
            self._planned = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._planned = False
        if self._is_behind() and not self._paused:
            self.drain()

    def _is_behind(self) -> bool:
        return bool(self._ready or self._newcomers)

    def _ask(self) -> bool:
        """Whom the kernel names; whether it may have more to name."""
        named = self._epoll.poll(0, BATCH)
        if self._unnamed:
            self._sort(named)
        else:
            self._ready.extend(named)
        return len(named) == BATCH

    def _sort(self, named: list[tuple[int, int]]) -> None:
        unnamed, ready, newcomers = self._unnamed, self._ready, self._newcomers
        for each in named:
            if each[0] in unnamed:
                unnamed.remove(each[0])
                newcomers.append(each)
            else:
                ready.append(each)

    def _until(self, deadline: float, queue: deque[tuple[int, int]]) -> Iterator[int]:
        """Fds, until the time is up: a step of this takes 0.04 us less than a call."""
        clock, asked = self._clock, self._asked
        while queue:
            fd, events = queue.popleft()
            yield fd
            if events != asked:  # its end has come, maybe behind bytes that were read
                self.again(fd)
            if self._paused or clock() >= deadline:
                return

    def close(self) -> None:
        self._ready.clear()
        self._newcomers.clear()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


class LoopPoller:
    """The event loop's own readers and writers: slower and larger, and works everywhere."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Iterable[int]], None],
        writable: bool,
        clock: Callable[[], float],
    ) -> None:
        self._serve = lambda fd: serve((fd,))
        self._add = loop.add_writer if writable else loop.add_reader
        self._remove = loop.remove_writer if writable else loop.remove_reader
        self._fds: set[int] = set()
        self._paused = False

    def add(self, fd: int, new: bool = False) -> None:
        self._fds.add(fd)
        if not self._paused:
            self._add(fd, self._serve, fd)

    def remove(self, fd: int) -> None:
        self._fds.remove(fd)
        self._remove(fd)

    def again(self, fd: int) -> None:
        """It is level-triggered."""

    def pause(self, paused: bool) -> None:
        self._paused = paused
        for fd in self._fds:
            if paused:
                self._remove(fd)
            else:
                self._add(fd, self._serve, fd)

    def close(self) -> None:
        for fd in tuple(self._fds):
            self.remove(fd)


NestedPoller: type[EpollPoller | LoopPoller] = (
    EpollPoller if sys.platform == "linux" else LoopPoller
)
