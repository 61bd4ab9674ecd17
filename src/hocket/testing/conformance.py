"""The echo servers that the public conformance suites expect, on the production code path.

    python -m hocket.testing.conformance websocket|engineio|socketio --port N

- `websocket`: echoes text and binary messages on any path, as the Autobahn test suite wants.
- `engineio`: echoes messages on /engine.io/, as the Engine.IO v4 suite wants (it expects port
  3000).
- `socketio`: answers on / and /custom as the Socket.IO v5 suite wants (port 3000 too).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from hocket.app import App
from hocket.errors import UsageError
from hocket.hub.connection import Connection
from hocket.hub.socket import Socket
from hocket.instance.foreground import run
from hocket.instance.worker import Worker
from hocket.protocol import websocket
from hocket.protocol.engineio import POLLING, EncodedPacket
from hocket.protocol.http1 import Request
from hocket.settings import load
from hocket.transport.reactor import write_small
from hocket.transport.stream import HttpStream
from hocket.transport.websocket import (
    WebSocketTransport,
    deflate_answer,
    receiver_for,
    switch_for,
)

# What the two suites of the Socket.IO project fix (docs/reference/conformance.md).
SUITE_SETTINGS: dict[str, Any] = {
    "ping_interval": 0.3,
    "ping_timeout": 0.2,
    "connect_timeout": 1.0,
    "max_payload": 1_000_000,
    "origins": "*",
}


class WebSocketEcho(WebSocketTransport):
    """The transport `websocket` with an echo where the Engine.IO session would be."""

    def upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> bool:
        wire, extensions = deflate_answer(request)
        connection = Connection("", self, wire, 0)
        answer = switch_for(request, extensions).answer(request)
        self.reactor.replace(stream, connection)
        write_small(connection.fd, answer)
        if rest:
            self.received(connection, rest)
        return True

    def received(self, connection: Connection, data: bytes) -> None:
        if connection.receiver is None:
            connection.receiver = receiver_for(connection.wire, self._max_payload)
        self.resume_with(connection, data)

    def handle(self, connection: Connection, item: tuple[int, bytes]) -> None:
        opcode, payload = item
        if opcode == websocket.TEXT:
            self.engine.fanout.send(connection, EncodedPacket(payload))
        elif opcode == websocket.BINARY:
            self.engine.fanout.send(connection, BinaryMessage(payload))
        else:
            super().handle(connection, item)


class EngineEcho:
    """A Layer that sends every message back."""

    def __init__(self, worker: Worker) -> None:
        self._fanout = worker.engine.fanout

    def opened(self, connection: Connection) -> None:
        """Nothing to say."""

    def text(self, connection: Connection, packet: bytes) -> None:
        self._fanout.send(connection, EncodedPacket(packet))

    def binary(self, connection: Connection, data: bytes) -> None:
        self._fanout.send(connection, BinaryMessage(data))

    def idle(self, connection: Connection) -> bool:
        return False

    def closed(self, connection: Connection, reason: str) -> None:
        """Nothing to do."""


class BinaryMessage(EncodedPacket):
    """A binary Engine.IO message without a text before it; Socket.IO never sends one."""

    def form(self, wire: int) -> bytes:
        whole = EncodedPacket(b"", [self.text]).form(wire)
        return whole[1:] if wire == POLLING else whole[2:]


class WebSocketEchoWorker(Worker):
    """Every upgrade, on any path, is an echo."""

    def _make_transports(self) -> None:
        super()._make_transports()
        self.http.upgrade = WebSocketEcho(self.engine, self.reactor, self.linger).upgrade


class EngineEchoWorker(Worker):
    """Sessions without Socket.IO on them."""

    def _make_transports(self) -> None:
        super()._make_transports()
        self.engine.layer = EngineEcho(self)


def socketio_app(app: App) -> None:
    """The events that the Socket.IO suite sends and expects (protocol v5, "Test suite")."""

    def greet(socket: Socket, auth: dict[str, Any]) -> None:
        socket.emit("auth", auth)

    app.on("connect")(greet)
    app.namespace("/custom").on("connect")(greet)

    @app.on("message")
    def message(socket: Socket, *args: Any) -> None:
        socket.emit("message-back", *args)

    @app.on("message-with-ack")
    def message_with_ack(socket: Socket, *args: Any) -> tuple[Any, ...]:
        return args


Server = tuple[dict[str, Any], Callable[[Any, Any], Worker]]
SERVERS: dict[str, Server] = {
    "websocket": (
        {"origins": "*", "max_payload": 1 << 25, "max_outbox": 1 << 26},
        WebSocketEchoWorker,
    ),
    "engineio": ({**SUITE_SETTINGS, "path": "/engine.io"}, EngineEchoWorker),
    "socketio": (SUITE_SETTINGS, Worker),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m hocket.testing.conformance",
        description="Echo servers for the public conformance suites.",
    )
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port",
        type=int,
        default=3000,
        help="default 3000, which the suites of the Socket.IO project expect; 0 picks a free one",
    )
    args = parser.parse_args(argv)
    given, make_worker = SERVERS[args.server]
    app = App(**given)
    socketio_app(app)
    try:
        run(app, load(app.given, {"host": args.host, "port": args.port}), make_worker)
    except UsageError as error:
        print(f"hocket: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
