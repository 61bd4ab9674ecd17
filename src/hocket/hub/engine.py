"""The Engine.IO sessions of one worker: opened by a transport, kept alive, closed once, whoever
asks for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hocket.errors import (
    FORCED_CLOSE,
    PARSE_ERROR,
    PING_TIMEOUT,
    SLOW_CONSUMER,
    PacketError,
)
from hocket.hub.connection import CLOSED, Connection, Transport
from hocket.hub.counts import Counts
from hocket.hub.fanout import FanoutQueue, Pace
from hocket.hub.heartbeat import Wheel
from hocket.hub.starter import Starter
from hocket.protocol import engineio

log = logging.getLogger("hocket")


@dataclass(frozen=True)
class Limits:
    """What a session may take, in seconds and bytes. The defaults are those of the
    settings table.
    """

    ping_interval: float = 25.0
    ping_timeout: float = 20.0
    connect_timeout: float = 45.0
    max_payload: int = 1_000_000
    max_handlers: int = 64
    max_namespaces: int = 64
    max_packets: int = 10_000
    max_outbox: int = 1_048_576
    max_pending: int = 67_108_864
    keep_headers: bool = True


FANOUT: Final = "fan-out"  # why nobody is read from: too much waits for clients here
WORKERS: Final = "workers"  # or for another worker
QUIET: Final = 1.0  # seconds between two lines about slow clients
HELD: Final = 2.0  # seconds that a tick or a timer may be late; later, the loop was held


class Layer(Protocol):
    """What stands on the sessions: Socket.IO, or an echo in the conformance servers."""

    def opened(self, connection: Connection) -> None: ...
    def text(self, connection: Connection, packet: bytes) -> None:
        """A text message, with its `4`; raises PacketError."""

    def binary(self, connection: Connection, data: bytes) -> None:
        """A binary message; raises PacketError."""

    def idle(self, connection: Connection) -> bool:
        """Whether the client has not said yet what it wants; `connect_timeout` is for that."""

    def closed(self, connection: Connection, reason: str) -> None: ...


@dataclass(frozen=True)
class Loop:
    """What a worker's event loop lends to the hub; in tests, fakes.

    `defer` calls a function at the loop's next turn, `defer_from_thread` does from any thread,
    `call_later` after seconds (its result has `cancel`), `spawn` starts a coroutine as a task
    and holds on to it.
    """

    clock: Callable[[], float]
    wall_clock: Callable[[], float]
    defer: Callable[[Callable[[], None]], object]
    defer_from_thread: Callable[[Callable[[], None]], object]
    call_later: Callable[[float, Callable[[], None]], Any]
    spawn: Callable[[Any], None]
    starter: Starter
    current_task: Callable[[], asyncio.Task[Any] | None]
    choose_pace: Callable[[], Pace]
    pause: Callable[[bool], None]
    new_id: Callable[[], str]


class Engine:
    """All sessions of a worker, and the order of what is written to them."""

    def __init__(self, limits: Limits, loop: Loop) -> None:
        self.limits = limits
        self.loop = loop
        self.layer: Layer
        self.connections: dict[str, Connection] = {}
        self.counts = Counts()
        self._slow = 0  # clients of whom the log has not told yet
        self._quiet_until = 0.0
        self._waiting_for_room: list[asyncio.Future[None]] = []
        self._paused: set[str] = set()
        # Other workers are producers too. They are not held up for another worker's sake: two that
        # wait for each other would do so for ever.
        self.on_fanout_paused: Callable[[bool], None] = lambda paused: None
        self.fanout = FanoutQueue(
            loop.choose_pace,
            loop.defer,
            loop.clock,
            limits.max_pending,
            self._pause_fanout,
            self.counts,
        )
        tick = max(0.01, min(1.0, limits.ping_interval / 10, limits.ping_timeout / 10))
        self._slack = max(2 * tick, min(HELD, limits.ping_timeout / 4))
        horizon = max(limits.ping_interval, limits.ping_timeout, limits.connect_timeout)
        # The wheels hold ids, so that a closed connection is not kept until its slot comes round.
        self.heartbeats: Wheel[str] = Wheel(tick, horizon, loop.clock())
        self.arrivals: Wheel[str] = Wheel(tick, horizon, loop.clock())
        self._interval = self.heartbeats.ticks(limits.ping_interval)
        # A ping may leave at the end of a tick, and be judged at the beginning of another.
        self._timeout = self.heartbeats.ticks(limits.ping_timeout) + 1
        self._connect = self.arrivals.ticks(limits.connect_timeout)
        self._handshakes = [
            engineio.handshake_template(
                upgrades, limits.ping_interval, limits.ping_timeout, limits.max_payload
            )
            for upgrades in ([], ["websocket"])
        ]

    @property
    def paused(self) -> bool:
        """Whether nobody is read from."""
        return bool(self._paused)

    def _pause_fanout(self, paused: bool) -> None:
        self.on_fanout_paused(paused)
        self.pause(FANOUT, paused)

    def pause(self, cause: str, paused: bool) -> None:
        """Read from no client, or from all again once there is no cause left not to."""
        before = bool(self._paused)
        (self._paused.add if paused else self._paused.discard)(cause)
        if before == bool(self._paused):
            return
        self.loop.pause(not before)
        if before:
            waiting, self._waiting_for_room = self._waiting_for_room, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def room(self) -> None:
        """Wait until `emit` would not raise Overloaded."""
        while self._paused:
            future = asyncio.get_running_loop().create_future()
            self._waiting_for_room.append(future)
            await future

    def open(
        self, transport: Transport, wire: int, head: bytes, address: str, secure: bool
    ) -> Connection:
        """A new session. The transport then sends the handshake; `heartbeat` starts the pings if
        the transport wants the wheel's.
        """
        sid = self.loop.new_id()
        head = head if self.limits.keep_headers else b""
        seq, opened = self.fanout.seq, self.loop.wall_clock()
        connection = Connection(sid, transport, wire, seq, head, address, secure, opened)
        self.connections[sid] = connection
        self.counts.opened[transport.name] += 1
        self.arrivals.put(sid, self._connect)
        self.layer.opened(connection)
        return connection

    def handshake(self, connection: Connection) -> bytes:
        """The text of the open packet, for the transport that the connection begins with."""
        template = self._handshakes[connection.wire == engineio.POLLING]
        return template % connection.sid.encode()

    def heartbeat(self, connection: Connection, ping_age: float = 0.0) -> None:
        """From now on the wheel pings this connection, whose last ping, or else its handshake, is
        so many seconds ago.
        """
        wheel = self.heartbeats
        age = int(ping_age / wheel.tick) if ping_age else 0
        connection.pinged = wheel.now - age
        first = self._interval if connection.answered else min(self._interval, self._timeout)
        wheel.put(connection.sid, first - age if age < first else 1)

    def ping_age(self, connection: Connection) -> float:
        """Seconds since the wheel's last ping."""
        return (self.heartbeats.now - connection.pinged) * self.heartbeats.tick

    def resume(self, connection: Connection, ping_age: float) -> None:
        """A session of a process before this one, whose last ping is so many seconds ago."""
        self.connections[connection.sid] = connection
        self.arrivals.put(connection.sid, self._connect)
        if connection.wire != engineio.POLLING:
            self.heartbeat(connection, ping_age)

    def hears(self, late: float) -> bool:
        """Whether anybody may be judged by what has not come, at a moment that is so many seconds
        later than it was to be. While nobody is read from, and when the loop was held, it may have
        come and not be read yet.
        """
        return not self._paused and late <= self._slack

    def tick(self, now: float) -> None:
        """Once every `heartbeats.tick` seconds. When nobody can be heard, nobody is judged. Nor is
        a client that is not read from because as many of its handlers run as may; it has its whole
        time to answer again afterwards.
        """
        before = self.heartbeats.now
        due = list(self.heartbeats.advance(now))
        hears = self.hears((self.heartbeats.now - before) * self.heartbeats.tick)
        for sid in due:
            if (connection := self.connections.get(sid)) is not None:
                self._beat(connection, hears)
        for sid in self.arrivals.advance(now):
            connection = self.connections.get(sid)
            if connection is None or not self.layer.idle(connection):
                continue
            if hears:
                self.close(connection, FORCED_CLOSE)
            else:
                self.arrivals.put(sid, 1)

    def _beat(self, connection: Connection, hears: bool) -> None:
        now, wheel = self.heartbeats.now, self.heartbeats
        due = connection.pinged + (self._interval if connection.answered else self._timeout)
        if now < due:
            wheel.put(connection.sid, due - now)
        elif connection.answered:
            connection.pinged, connection.answered = now, not connection.transport.answers
            wheel.put(connection.sid, min(self._interval, self._timeout))
            self.fanout.send(connection, engineio.PING_PACKET)
        elif connection.held or connection.inbox is not None:
            connection.pinged = now
            wheel.put(connection.sid, self._timeout)
        elif hears:
            self.close(connection, PING_TIMEOUT)
        else:
            wheel.put(connection.sid, 1)

    def receive_text(self, connection: Connection, packet: bytes) -> None:
        """A text packet of an open session. A bad one ends the session."""
        try:
            if packet.startswith(b"4"):
                self.layer.text(connection, packet)
            elif packet.startswith(b"b"):  # of clients that keep to text also over WebSocket
                self.layer.binary(connection, engineio.decode_base64(packet[1:]))
            elif engineio.check_text(packet, connection.transport.name) == engineio.PONG:
                connection.answered = True
            else:
                connection.transport.left(connection)
        except PacketError as error:
            self.refuse(connection, error)

    def receive_binary(self, connection: Connection, data: bytes) -> None:
        """A binary message of an open session; as `receive_text`."""
        try:
            self.layer.binary(connection, data)
        except PacketError as error:
            self.refuse(connection, error)

    def refuse(self, connection: Connection, error: Exception) -> None:
        """The client broke a protocol: the session ends."""
        log.info(
            "bad packet",
            extra={"sid": connection.sid, "address": connection.address, "error": str(error)},
        )
        self.close(connection, PARSE_ERROR)

    def close_soon(self, connection: Connection, reason: str) -> None:
        """End it at the loop's next turn: whoever is writing to it now must not lose it
        on the way.
        """
        self.loop.defer(lambda: self.close(connection, reason))

    def _tell_of_slow(self) -> None:
        """At most once a second: the log must not make it worse."""
        self._slow += 1
        if self.loop.clock() >= self._quiet_until:
            log.warning(
                "disconnected as slow consumers: %d clients, for each of which over %d bytes "
                "(max_outbox) waited",
                self._slow,
                self.limits.max_outbox,
            )
            self._slow, self._quiet_until = 0, self.loop.clock() + QUIET

    def close(self, connection: Connection, reason: str) -> None:
        """End a session. Does nothing if it has ended."""
        if connection.closed:
            return
        self.connections.pop(connection.sid, None)
        self.counts.closed[reason] += 1
        if reason == SLOW_CONSUMER:
            self._tell_of_slow()
        connection.transport.finish(connection, reason)
        connection.outbox = CLOSED
        connection.receiver = connection.assembler = connection.inbox = None
        self.layer.closed(connection, reason)
