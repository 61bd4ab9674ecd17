"""What the transports of Engine.IO sessions have in common: handing on what arrived, no faster than
handlers take it.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hocket.errors import SLOW_CONSUMER, TRANSPORT_CLOSE, TRANSPORT_ERROR
from hocket.hub.connection import LOST, Connection
from hocket.hub.engine import Engine
from hocket.hub.outbox import Backlog
from hocket.transport.linger import Linger
from hocket.transport.reactor import Reactor

PUMP: Final = 0.002  # seconds that one client's events may take before others have their turn


class SessionTransport:
    """Base of the transports `websocket` and `polling`."""

    name: str
    answers = True

    def __init__(self, engine: Engine, reactor: Reactor) -> None:
        self.engine = engine
        self.reactor = reactor
        self._clock = engine.loop.clock
        self._defer = engine.loop.defer
        self._max_handlers = engine.limits.max_handlers

    def handle(self, connection: Connection, item: Any) -> None:
        """One item of `connection.inbox`."""
        raise NotImplementedError

    def left(self, connection: Connection) -> None:
        """The client says that the session ends."""
        self.engine.close(connection, TRANSPORT_CLOSE)

    def hold(self, connection: Connection) -> None:
        """Read no more from this client."""

    def drained(self, connection: Connection) -> None:
        """All of the inbox is handed on: read again."""

    def pump(self, connection: Connection) -> None:
        """Hand on what is in the inbox, until the time is up or as many handlers run as may."""
        inbox = connection.inbox
        if inbox is None:
            return
        deadline = self._clock() + PUMP
        for item in inbox:
            self.handle(connection, item)
            if connection.inbox is not inbox:  # closed, or moved to another transport
                return
            if connection.running >= self._max_handlers:
                self._wait(connection)
                return
            if self._clock() >= deadline:
                self._wait(connection)
                self.resume(connection)
                return
        connection.inbox = None
        self.drained(connection)

    def _wait(self, connection: Connection) -> None:
        connection.held = True
        self.hold(connection)

    def resume(self, connection: Connection) -> None:
        """Go on at the loop's next turn, if it is still to be gone on with."""
        if connection.held:
            connection.held = False
            self.go_on_soon(connection)

    def go_on_soon(self, connection: Connection) -> None:
        """At the loop's next turn."""
        self._defer(lambda: self._resumed(connection))

    def _resumed(self, connection: Connection) -> None:
        if connection.transport.name == self.name:  # else it moved to another transport meanwhile
            self.go_on(connection)

    def go_on(self, connection: Connection) -> None:
        """Hand on what is in the inbox, if fewer handlers run than may."""
        if connection.running < self._max_handlers:
            self.pump(connection)
        else:
            self._wait(connection)

    def lost(self, connection: Connection) -> None:
        """A write failed: nothing more is written, and the session ends when the fan-out that wrote
        has let go.
        """
        connection.outbox = LOST
        self.engine.close_soon(connection, TRANSPORT_ERROR)

    def overflow(self, connection: Connection) -> None:
        """More waits for this client than may. It gets no more: there would be a hole in it."""
        connection.outbox = LOST
        self.engine.close_soon(connection, SLOW_CONSUMER)


class StreamTransport(SessionTransport):
    """Base of the transports whose sessions have an fd of their own, to which fan-outs write.

    Args:
        engine: the sessions.
        reactor: the fds.
        linger: for fds whose last bytes the peer should still read.
    """

    def __init__(self, engine: Engine, reactor: Reactor, linger: Linger) -> None:
        super().__init__(engine, reactor)
        self._linger = linger

    # What the reactor calls

    def ended(self, connection: Connection) -> None:
        self.engine.close(connection, TRANSPORT_CLOSE)

    def failed(self, connection: Connection) -> None:
        self.engine.close(connection, TRANSPORT_ERROR)

    def writable(self, connection: Connection) -> None:
        outbox = connection.outbox
        if not isinstance(outbox, Backlog):
            self.reactor.stop_write(connection)
            return
        try:
            if outbox.write_out(os.write, connection.fd):
                connection.outbox = None
                self.reactor.stop_write(connection)
        except OSError:
            self.engine.close(connection, TRANSPORT_ERROR)

    # What the hub calls

    def backlog(self, connection: Connection, rest: bytes) -> None:
        engine = self.engine
        outbox = connection.outbox = Backlog(engine.limits.max_outbox, self.overflow, engine.counts)
        outbox.add(connection, rest)
        self.reactor.want_write(connection)

    def part(self, connection: Connection) -> None:
        """Leave the fd to linger, with what is still to be sent."""
        self.engine.fanout.uncork(connection)
        outbox = connection.outbox
        self._linger.part(connection, outbox if isinstance(outbox, Backlog) else None)
