"""The last of a connection: send what is left, say that no more comes, and wait a moment for the
peer to have read it.

A `close` with unread input makes the kernel send a reset, which can overtake and destroy the answer
that the peer should still read: a 413, a close frame with its code. So after such an answer the
write side is shut down, input is read and dropped, and the fd is closed at the peer's end of stream
or after `LINGER` seconds. What a slow client has not taken yet is sent as long as it takes some of
it.
"""

from __future__ import annotations

import os
from typing import Final

from hocket.hub.engine import Loop
from hocket.hub.outbox import Backlog
from hocket.transport.reactor import Endpoint, Reactor, shut_down

LINGER: Final = (
    2.0  # seconds, once all is sent; so often is looked whether a slow client takes more
)
MOST_LOOKS: Final = 15
_SHUT_WR = 1


class Departing:
    """An endpoint that is on its way out."""

    __slots__ = ("backlog", "fd", "transport")

    def __init__(self, transport: Linger, backlog: Backlog | None) -> None:
        self.fd = -1
        self.transport = transport
        self.backlog = backlog


class Linger:
    """The transport of departing endpoints."""

    def __init__(self, loop: Loop, reactor: Reactor) -> None:
        self._loop = loop
        self._reactor = reactor

    def part(self, end: Endpoint, backlog: Backlog | None = None) -> None:
        """Take over the fd of `end`, write what is in `backlog` and go."""
        if end.fd < 0:
            return
        departing = Departing(self, backlog)
        self._reactor.replace(end, departing)
        self._reactor.release(departing)
        if backlog is None:
            self._reactor.stop_write(departing)
            shut_down(departing.fd, _SHUT_WR)
        self._watch(departing, MOST_LOOKS)

    def _watch(self, end: Departing, looks: int) -> None:
        left = end.backlog.size if end.backlog is not None else 0
        self._loop.call_later(LINGER, lambda: self._look(end, left, looks - 1))

    def _look(self, end: Departing, before: int, looks: int) -> None:
        """Close it, unless its client has taken some of what was left `before`."""
        left = end.backlog.size if end.backlog is not None else 0
        if left < before and looks > 0:
            self._watch(end, looks)
        else:
            self._reactor.close(end)

    def received(self, end: Departing, data: bytes) -> None:
        """Read and dropped."""

    def ended(self, end: Departing) -> None:
        self._reactor.close(end)

    failed = ended

    def writable(self, end: Departing) -> None:
        try:
            if end.backlog is None or end.backlog.write_out(os.write, end.fd):
                end.backlog = None
                self._reactor.stop_write(end)
                shut_down(end.fd, _SHUT_WR)
        except OSError:
            self._reactor.close(end)
