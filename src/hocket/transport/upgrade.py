"""From polling to WebSocket: the client proves that WebSocket gets through, then moves its session
over (`engineio`, the table).
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

from hocket.errors import PacketError, WebSocketError
from hocket.hub.connection import Connection
from hocket.hub.engine import Engine
from hocket.protocol import engineio, websocket
from hocket.protocol.engineio import NOOP_PACKET
from hocket.transport.linger import Linger
from hocket.transport.polling import AGAIN, PollQueue
from hocket.transport.reactor import Reactor, write_small
from hocket.transport.websocket import WebSocketTransport, receiver_for

UPGRADE_TIMEOUT: Final = 10.0  # seconds, as in Engine.IO's server
# Seconds after which a poll that has nothing to say is ended, so that the client can move. The
# first are few: `3probe` is to arrive earlier, that is all. With 0.1, as in Engine.IO's server,
# moving takes 100 ms among 200 clients at a time, with 0.01 it takes 60.
NOOP_AFTER: Final = 0.01
NOOP_EVERY: Final = 0.1


class Probe:
    """A WebSocket that wants to take over a polling session."""

    __slots__ = ("connection", "fd", "noops", "probed", "receiver", "timeout", "transport", "wire")

    def __init__(
        self, transport: UpgradeTransport, connection: Connection, wire: int, max_payload: int
    ) -> None:
        self.transport = transport
        self.connection = connection
        self.wire = wire
        self.fd = -1
        self.receiver = receiver_for(wire, max_payload)
        self.probed = False
        self.noops: Any = None
        self.timeout: Any = None

    def cancel(self) -> None:
        """The session has ended, or this took too long."""
        self.transport.give_up(self)


class UpgradeTransport:
    """The transport of probes.

    Args:
        websocket: where a session goes.
    """

    def __init__(
        self, engine: Engine, reactor: Reactor, linger: Linger, websocket: WebSocketTransport
    ) -> None:
        self._engine = engine
        self._reactor = reactor
        self._linger = linger
        self._websocket = websocket

    def start(self, connection: Connection, wire: int) -> Probe | None:
        """A probe for a session, over a WebSocket of that wire form; None if one is under way or
        the session is no longer polling.
        """
        queue = connection.outbox
        if not isinstance(queue, PollQueue) or queue.probe is not None:
            return None
        probe = queue.probe = Probe(self, connection, wire, self._engine.limits.max_payload)
        self._plan_end(probe, UPGRADE_TIMEOUT)
        return probe

    def _plan_end(self, probe: Probe, after: float) -> None:
        loop = self._engine.loop
        when = loop.clock() + after
        probe.timeout = loop.call_later(after, lambda: self._end(probe, loop.clock() - when))

    def _end(self, probe: Probe, late: float) -> None:
        """It has had its time; what it said may not be read yet."""
        if self._engine.hears(late):
            self.give_up(probe)
        else:
            self._plan_end(probe, AGAIN)

    def received(self, probe: Probe, data: bytes) -> None:
        probe.receiver.receive_data(data)
        try:
            for opcode, payload in probe.receiver.events():
                if opcode == websocket.PING:
                    write_small(probe.fd, websocket.frame(websocket.PONG, payload))
                elif opcode == websocket.TEXT:
                    if engineio.check_text(payload, "probing") == engineio.UPGRADE:
                        self._move(probe)
                        return
                    self._answer(probe)
                elif opcode != websocket.PONG:
                    raise PacketError("a probe is text")
        except (PacketError, WebSocketError):
            self.give_up(probe)

    def _answer(self, probe: Probe) -> None:
        if probe.probed:
            raise PacketError("probed twice")
        probe.probed = True
        write_small(probe.fd, websocket.frame(websocket.TEXT, b"3probe"))
        self._plan_noop(probe, NOOP_AFTER)

    def _plan_noop(self, probe: Probe, after: float) -> None:
        probe.noops = self._engine.loop.call_later(after, lambda: self._end_poll(probe))

    def _end_poll(self, probe: Probe) -> None:
        queue = probe.connection.outbox
        if isinstance(queue, PollQueue):
            if queue.poll is not None and not queue.packets:
                queue.put(probe.connection, NOOP_PACKET)
            self._plan_noop(probe, NOOP_EVERY)

    def _move(self, probe: Probe) -> None:
        """The session goes over: what is pending first, then all that the polls had not fetched,
        then whatever comes.
        """
        connection, engine = probe.connection, self._engine
        queue = connection.outbox
        if not probe.probed or not isinstance(queue, PollQueue):
            self.give_up(probe)
            return
        self._stop(probe)
        left = queue.transport.release(connection, queue)
        engine.fanout.catch_up(connection)
        packets = queue.take()
        connection.transport, connection.wire, connection.outbox = self._websocket, probe.wire, None
        self._reactor.replace(probe, connection)
        engine.heartbeat(connection, engine.loop.clock() - queue.pinged)
        if packets:
            engine.fanout.send_all(connection, packets)
        connection.receiver = probe.receiver
        connection.inbox = chain(left, probe.receiver.events())
        self._websocket.go_on(connection)

    def give_up(self, probe: Probe) -> None:
        """The session stays where it is; the WebSocket closes."""
        self._stop(probe)
        if probe.fd >= 0:
            write_small(probe.fd, websocket.close_frame(websocket.NORMAL))
            self._linger.part(probe)

    def _stop(self, probe: Probe) -> None:
        for timer in (probe.noops, probe.timeout):
            if timer is not None:
                timer.cancel()
        queue = probe.connection.outbox
        if isinstance(queue, PollQueue) and queue.probe is probe:
            queue.probe = None

    def ended(self, probe: Probe) -> None:
        self._stop(probe)
        self._reactor.close(probe)

    failed = ended

    def writable(self, probe: Probe) -> None:
        """Never asked for."""
