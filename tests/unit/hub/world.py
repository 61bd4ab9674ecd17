"""A hub without sockets: a loop that is turned by hand, and clients that are lists of packets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hocket.hub.connection import LOST, Connection
from hocket.hub.engine import Engine, Limits, Loop
from hocket.hub.fanout import Pace
from hocket.hub.handlers import Handlers
from hocket.hub.hub import Hub
from hocket.hub.outbox import Backlog
from hocket.hub.socket import Socket
from hocket.hub.starter import Rest, Waiting, start
from hocket.protocol.engineio import WEBSOCKET


class FakeTask:
    """A coroutine that goes on when its loop gets to it."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine
        self.ended = False

    def step(self) -> None:
        try:
            self.coroutine.send(None)
        except StopIteration:
            self.ended = True

    def done(self) -> bool:
        return self.ended


class FakeLoop:
    """Time and turns by hand, and a Starter."""

    def __init__(self) -> None:
        self.now = 0.0
        self.deferred: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.tasks: list[FakeTask] = []
        self.paused: list[bool] = []
        self.write: Callable[[int, bytes], int] = lambda fd, data: len(data)
        self._ids: Iterator[int] = iter(range(10**9))

    def turn(self) -> None:
        """One turn: what was deferred before it, and the next step of every task."""
        deferred, self.deferred = self.deferred, []
        for act in deferred:
            act()
        for task in [task for task in self.tasks if not task.ended]:
            task.step()

    def settle(self) -> None:
        while self.deferred:
            self.turn()

    def spawn(self, coroutine: Any) -> None:
        start(self, coroutine)

    def begin(self, coroutine: Any) -> Any:
        try:
            return Waiting(coroutine.send(None))
        except StopIteration as stop:
            return stop.value

    def go_on(self, rest: Rest) -> Any:
        async def life() -> None:
            await rest(None)

        task = FakeTask(life())
        task.step()
        self.tasks.append(task)
        return task

    def call_later(self, delay: float, act: Callable[[], None]) -> Any:
        entry = (self.now + delay, act)
        self.timers.append(entry)
        return FakeTimer(self, entry)

    def pass_time(self, seconds: float) -> None:
        """Timers fire in their order, each at its time."""
        until = self.now + seconds
        while due := sorted(
            (each for each in self.timers if each[0] <= until), key=lambda each: each[0]
        ):
            self.timers.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1]()
        self.now = until

    def lend(self) -> Loop:
        return Loop(
            clock=lambda: self.now,
            wall_clock=lambda: 1_000_000_000 + self.now,
            defer=self.deferred_append,
            defer_from_thread=self.deferred_append,
            call_later=self.call_later,
            spawn=self.spawn,
            starter=self,
            current_task=lambda: None,
            choose_pace=lambda: Pace(lambda fd, data: self.write(fd, data)),
            pause=self.paused.append,
            new_id=lambda: f"id-{next(self._ids)}",
        )

    def deferred_append(self, act: Callable[[], None]) -> None:
        self.deferred.append(act)


class FakeTimer:
    def __init__(self, loop: FakeLoop, entry: tuple[float, Callable[[], None]]) -> None:
        self._loop = loop
        self._entry = entry

    def cancel(self) -> None:
        if self._entry in self._loop.timers:
            self._loop.timers.remove(self._entry)


class FakeTransport:
    """The transport `websocket`, with lists of bytes where the kernel would be.

    `taken[fd]`: what the kernel has got. `room[fd]`: how many bytes it still takes; without an
    entry it takes all.
    """

    name = "websocket"
    answers = True

    def __init__(self, engine: Engine, loop: FakeLoop) -> None:
        self.engine = engine
        self.loop = loop
        self.taken: dict[int, bytearray] = {}
        self.room: dict[int, int] = {}
        self.broken: set[int] = set()
        self.resumed: list[Connection] = []
        self.finished: list[tuple[Connection, str]] = []
        self.writes = 0
        loop.write = self.write

    def write(self, fd: int, data: bytes) -> int:
        assert fd >= 0, "written to a closed connection"
        if fd in self.broken:
            raise BrokenPipeError
        self.writes += 1
        size = min(len(data), self.room.get(fd, len(data)))
        if size == 0:
            raise BlockingIOError
        if fd in self.room:
            self.room[fd] -= size
        self.taken[fd] += data[:size]
        return size

    def uncork(self) -> None:
        """What the end of a turn does, but for the fan-outs."""
        self.engine.fanout._cork.flush()

    def open(self) -> Connection:
        connection = self.engine.open(self, WEBSOCKET, b"GET / HTTP/1.1\r\n\r\n", "", False)
        connection.fd = len(self.taken)
        self.taken[connection.fd] = bytearray()
        return connection

    def backlog(self, connection: Connection, rest: bytes) -> None:
        outbox = connection.outbox = Backlog(self.engine.limits.max_outbox, self.overflow)
        outbox.add(connection, rest)

    def overflow(self, connection: Connection) -> None:
        connection.outbox = LOST
        self.engine.close_soon(connection, "slow-consumer")

    def lost(self, connection: Connection) -> None:
        connection.outbox = LOST
        self.engine.close_soon(connection, "transport error")

    def writable(self, connection: Connection) -> None:
        """The client has read everything."""
        self.room.pop(connection.fd, None)
        outbox = connection.outbox
        if isinstance(outbox, Backlog) and outbox.write_out(self.write, connection.fd):
            connection.outbox = None

    def resume(self, connection: Connection) -> None:
        connection.held = False
        self.resumed.append(connection)

    def left(self, connection: Connection) -> None:
        raise AssertionError("nobody says so")

    def finish(self, connection: Connection, reason: str) -> None:
        self.engine.fanout.uncork(connection)
        self.finished.append((connection, reason))
        connection.fd = -1

    def texts(self, fd: int) -> list[str]:
        """The text messages that the client has got whole at the end of this turn; fails on bytes
        that are no frames.
        """
        self.uncork()
        return [payload.decode() for payload in frames(bytes(self.taken[fd]))]


def frames(data: bytes) -> Iterator[bytes]:
    """Payloads of the whole frames in what a server wrote."""
    at = 0
    while len(data) - at >= 2:
        head, length = 2, data[at + 1]
        assert data[at] in (0x81, 0x82, 0x88), f"not the start of a frame: {data[at : at + 8]!r}"
        if length >= 126:
            size = 2 if length == 126 else 8
            head, length = 2 + size, int.from_bytes(data[at + 2 : at + 2 + size], "big")
        if len(data) - at < head + length:
            return
        yield data[at + head : at + head + length]
        at += head + length


class World:
    """A hub with fakes all around it."""

    def __init__(
        self,
        handlers: Handlers | None = None,
        dynamic: Mapping[re.Pattern[str], Handlers] | None = None,
        static: Mapping[str, Handlers] | None = None,
        **limits: Any,
    ) -> None:
        self.loop = FakeLoop()
        self.engine = Engine(Limits(**limits), self.loop.lend())
        self.transport = FakeTransport(self.engine, self.loop)
        self.errors: list[tuple[BaseException, Socket | None, str]] = []
        self.handlers = handlers or Handlers()
        self.hub = Hub(
            self.engine, {"/": self.handlers, **(static or {})}, dynamic or {}, self.on_error
        )

    def on_error(self, error: BaseException, socket: Socket | None, event: str) -> None:
        self.errors.append((error, socket, event))

    def connect(self, auth: bytes = b"", namespace: str = "/") -> Socket:
        """A client that has joined a namespace, with what it was told forgotten."""
        connection = self.transport.open()
        socket = self.join(connection, auth, namespace)
        self.transport.uncork()
        self.transport.taken[connection.fd].clear()
        return socket

    def join(self, connection: Connection, auth: bytes = b"", namespace: str = "/") -> Socket:
        name = b"" if namespace == "/" else namespace.encode() + b","
        self.engine.receive_text(connection, b"40" + name + auth)
        socket = connection.socket_in(namespace)
        assert socket is not None
        return socket

    def say(self, socket: Socket, packet: str) -> None:
        self.engine.receive_text(socket.connection, packet.encode())

    def heard(self, socket: Socket) -> list[str]:
        return self.transport.texts(socket.connection.fd)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)
