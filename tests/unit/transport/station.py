"""All of a worker's transports without an event loop: real sockets, time and turns by hand."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket as sockets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from hocket.hub.connection import Connection
from hocket.hub.engine import Engine, Limits
from hocket.hub.handlers import Handlers
from hocket.hub.hub import Hub
from hocket.hub.socket import Socket
from hocket.protocol.engineio import SEPARATOR
from hocket.protocol.http1 import Request
from hocket.protocol.websocket import TEXT
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpTransport
from hocket.transport.linger import Linger
from hocket.transport.origins import Origins
from hocket.transport.reactor import Reactor
from hocket.transport.stream import HttpStream
from tests.support import frame, head
from tests.unit.hub.world import FakeLoop

PATH = "/socket.io/?EIO=4&transport="


class HandPoller:
    """A Poller that serves what is ready when the test says so."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Iterable[int]], None],
        writable: bool,
        clock: Callable[[], float],
    ) -> None:
        self._serve = serve
        self._mask = select.POLLOUT if writable else select.POLLIN
        self.fds: set[int] = set()
        self.paused = False

    def add(self, fd: int, new: bool = False) -> None:
        assert fd not in self.fds
        self.fds.add(fd)

    def remove(self, fd: int) -> None:
        self.fds.remove(fd)

    def again(self, fd: int) -> None:
        """It is level-triggered."""

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def close(self) -> None: ...

    def drain(self) -> bool:
        """Serve each fd that is ready once; whether any was."""
        poll = select.poll()
        for fd in self.fds:
            poll.register(fd, self._mask)
        ready = [] if self.paused else poll.poll(0)
        self._serve([fd for fd, _ in ready])
        return bool(ready)


class Asyncio:
    """As much of an event loop as a Reactor needs."""

    def __init__(self, loop: FakeLoop) -> None:
        self.call_soon = loop.deferred_append


class Answer(NamedTuple):
    status: int
    body: bytes

    def packets(self) -> list[str]:
        return [packet.decode() for packet in self.body.split(SEPARATOR)]


class Peer:
    """The far end of one TCP connection."""

    def __init__(self, station: Station) -> None:
        ours, self.socket = sockets.socketpair()
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.fd = ours.fileno()
        self.buffer = b""
        self.station = station
        station.http.accepted(ours.detach(), "192.0.2.1")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.station.spin()

    def read(self) -> bytes:
        """All that has come and is not taken yet."""
        self.station.spin()
        while True:
            try:
                data = self.socket.recv(65_536)
            except (BlockingIOError, ConnectionResetError):
                break
            if not data:
                break
            self.buffer += data
        return self.buffer

    def ended(self) -> bool:
        """Whether the server has said that no more comes."""
        self.read()
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def answer(self) -> Answer | None:
        """The next whole response, if it is there."""
        top, found, rest = self.read().partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in top.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
        assert len(rest) >= length
        self.buffer = rest[length:]
        return Answer(int(top.split(b" ")[1]), rest[:length])

    def frames(self) -> list[tuple[int, bytes]]:
        """The WebSocket frames that have come."""
        data, found = self.read(), []
        while len(data) >= 2:
            length, start = data[1], 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            if len(data) < start + length:
                break
            found.append((data[0] & 15, data[start : start + length]))
            data = data[start + length :]
        self.buffer = data
        return found

    def texts(self) -> list[str]:
        return [payload.decode() for opcode, payload in self.frames() if opcode == TEXT]

    def say(self, *packets: str) -> None:
        """Text frames, in one piece."""
        self.send(b"".join(frame(TEXT, packet.encode()) for packet in packets))

    def upgrade(self, target: str) -> Answer | None:
        fields = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        self.send(head("x", target, "GET", *fields))
        return self.answer()

    def get(self, target: str, *fields: str) -> Answer | None:
        self.send(head("x", target, "GET", *fields))
        return self.answer()

    def post(self, target: str, body: str | bytes) -> Answer | None:
        data = body.encode() if isinstance(body, str) else body
        self.send(head("x", target, "POST", f"Content-Length: {len(data)}") + data)
        return self.answer()


class Station:
    def __init__(self, registered: Handlers | None = None, **limits: Any) -> None:
        self.loop = FakeLoop()
        self.loop.write = os.write
        self.errors: list[Any] = []
        self.handlers = registered or Handlers()
        reactor = self.reactor = Reactor(
            cast(asyncio.AbstractEventLoop, Asyncio(self.loop)),
            lambda: self.loop.now,
            HandPoller,
        )
        self.engine = Engine(Limits(**limits), self.loop.lend())
        self.hub = Hub(
            self.engine, {"/": self.handlers}, {}, lambda *error: self.errors.append(error)
        )
        linger = Linger(self.engine.loop, reactor)
        self.http = HttpTransport(self.engine.loop, reactor, linger, 100_000, 10.0, 60.0, 100_000)
        self.gateway = Gateway(self.engine, reactor, linger, self.http, Origins(None), None)

        def upgrade(stream: HttpStream, request: Request, rest: bytes) -> bool:
            self.gateway.upgrade(stream, request, rest)
            return True

        self.http.handle, self.http.upgrade = self.gateway.request, upgrade
        self.peers: list[Peer] = []

    @property
    def reading(self) -> HandPoller:
        return cast(HandPoller, self.reactor._reading)

    def peer(self) -> Peer:
        self.peers.append(Peer(self))
        return self.peers[-1]

    def spin(self) -> None:
        """Turns until nothing more happens by itself."""
        for _ in range(10_000):
            self.loop.turn()
            read = self.reading.drain()
            written = cast(HandPoller, self.reactor._writing).drain()
            if not (read or written or self.loop.deferred):
                return
        raise AssertionError("it never comes to rest")

    def pass_time(self, seconds: float) -> None:
        """Time passes in steps of at most 10 ms, with what happens in each."""
        end = self.loop.now + seconds
        while self.loop.now < end - 1e-9:
            self.loop.pass_time(min(0.01, end - self.loop.now))
            self.spin()

    def close(self) -> None:
        for task in self.loop.tasks:
            task.coroutine.close()
        self.reactor.close_all()
        for peer in self.peers:
            peer.socket.close()

    # Clients

    def websocket(self) -> tuple[Peer, Connection]:
        """A client on WebSocket that is in `/`, with what it was told forgotten."""
        peer = self.peer()
        answer = peer.upgrade(PATH + "websocket")
        assert answer is not None
        assert answer.status == 101
        sid = json.loads(peer.texts()[0][1:])["sid"]
        peer.say("40")
        connection = self.engine.connections[sid]
        if connection.sockets[0].connected:
            peer.texts()
        return peer, connection

    def polling(self, *fields: str) -> Polled:
        """A client that polls and is in `/`; `fields` of the request that opens its session."""
        return Polled(self, *fields)


class Polled:
    """A client that polls, in `/`."""

    def __init__(self, station: Station, *fields: str) -> None:
        self.station = station
        self.getter, self.poster = station.peer(), station.peer()
        opened = self.getter.get(PATH + "polling", *fields)
        assert opened is not None
        self.sid = json.loads(opened.body[1:])["sid"]
        self.target = f"{PATH}polling&sid={self.sid}"
        self.connection = station.engine.connections[self.sid]
        self.post("40")
        self.poll()

    @property
    def socket(self) -> Socket:
        return self.connection.sockets[0]

    def poll(self) -> Answer | None:
        """An answer, or None while the poll waits."""
        return self.getter.get(self.target)

    def post(self, body: str | bytes) -> Answer | None:
        return self.poster.post(self.target, body)

    def probe(self) -> Peer:
        """A WebSocket that has asked whether it gets through."""
        peer = self.station.peer()
        answer = peer.upgrade(f"{PATH}websocket&sid={self.sid}")
        assert answer is not None
        assert answer.status == 101
        return peer


@contextmanager
def station(registered: Handlers | None = None, **limits: Any) -> Iterator[Station]:
    made = Station(registered, **limits)
    try:
        yield made
    finally:
        made.close()
