"""Bytes to endpoints that are no Engine.IO sessions: HTTP streams, WebSockets of mounted
applications.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from hocket.hub.cork import Cork
from hocket.hub.engine import Loop
from hocket.hub.outbox import Backlog
from hocket.transport.reactor import Endpoint, Reactor


class Sender(Endpoint, Protocol):
    """An endpoint with a `backlog` for what its client has not taken yet, and somebody who may wait
    for room in it.
    """

    backlog: Backlog | None
    on_room: asyncio.Event | None


S = TypeVar("S", bound=Sender)


class Outgoing(Generic[S]):
    """What is on its way out.

    Args:
        loop, reactor: the worker's.
        max_outbox: bytes that may wait for a client before `room` waits.
        broken: called, at the loop's next turn, with an endpoint that cannot be written to.
    """

    def __init__(
        self, loop: Loop, reactor: Reactor, max_outbox: int, broken: Callable[[S], None]
    ) -> None:
        self._loop = loop
        self._reactor = reactor
        self._max_outbox = max_outbox
        self._broken = broken
        self._cork: Cork[S] = Cork(self._write, lambda: loop.defer(self._cork.flush))
        self.release = self._cork.release
        self.bytes_out = 0

    def send(self, end: S, data: bytes) -> None:
        """At the end of this turn, or when the client takes it."""
        self.bytes_out += len(data)
        if end.backlog is not None:
            end.backlog.append(data)
        elif end.fd >= 0:
            self._cork.put(end, data)

    def _write(self, held: Iterable[tuple[S, bytes]]) -> None:
        for end, data in held:
            if end.fd < 0:
                continue
            try:
                sent = os.write(end.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._loop.defer(functools.partial(self._broken, end))
                continue
            if sent != len(data):
                end.backlog = Backlog()
                end.backlog.append(data[sent:])
                self._reactor.want_write(end)

    def write_out(self, end: S) -> bool:
        """The client takes bytes again: whether it has taken all. Raises OSError when it is
        gone.
        """
        if end.backlog is not None and not end.backlog.write_out(os.write, end.fd):
            return False
        end.backlog = None
        self._reactor.stop_write(end)
        self.wake(end)
        return True

    def wake(self, end: S) -> None:
        """All who wait in `room` look again: there is room, or the client is gone."""
        waiting, end.on_room = end.on_room, None
        if waiting is not None:
            waiting.set()

    async def room(self, end: S) -> None:
        """Wait until little enough waits for the client. Raises ConnectionError when it is gone."""
        while end.fd >= 0 and end.backlog is not None and end.backlog.size > self._max_outbox:
            if end.on_room is None:
                end.on_room = asyncio.Event()
            await end.on_room.wait()
        if end.fd < 0:
            raise ConnectionError("the client has gone")
