"""The transport `websocket`: an Engine.IO session whose fd carries WebSocket frames."""

from __future__ import annotations

import re
from typing import NamedTuple

from hocket.errors import (
    PARSE_ERROR,
    PING_TIMEOUT,
    SHUTTING_DOWN,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    TRANSPORT_CLOSE,
    TRANSPORT_ERROR,
    HTTPError,
    WebSocketError,
)
from hocket.hub.connection import Connection
from hocket.hub.engine import Engine
from hocket.protocol import deflate, engineio, websocket
from hocket.protocol.http1 import Request
from hocket.transport.linger import Linger
from hocket.transport.reactor import Reactor
from hocket.transport.session import StreamTransport

_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: "
)
_KEY = b"sec-websocket-key"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
# Any other reason: 1000. Applications choose codes from 4000 on (RFC 6455 section 7.4.2).
_CLOSE_CODES = {SHUTTING_DOWN: 1001, PARSE_ERROR: websocket.POLICY, TOKEN_EXPIRED: 4401}


class Frame(engineio.EncodedPacket):
    """A frame that is no Engine.IO packet: pong, close."""

    __slots__ = ("_bytes",)

    def __init__(self, opcode: int, payload: bytes) -> None:
        self._bytes = websocket.frame(opcode, payload)
        self.volatile = False

    def form(self, wire: int) -> bytes:
        return self._bytes


class Switch(NamedTuple):
    """The answer to an upgrade request, but for what depends on its key."""

    before: bytes
    after: bytes

    def answer(self, request: Request) -> bytes:
        """The whole of it (RFC 6455 section 4.2.2)."""
        return self.before + websocket.accept_token(request.get(_KEY)) + self.after


def switch_for(request: Request, extensions: str = "", protocol: bytes = b"") -> Switch:
    """What answers an upgrade request, if it may be one (RFC 6455 section 4.2); raises HTTPError.
    `extensions` and `protocol`: the values of Sec-WebSocket-Extensions and Sec-WebSocket-Protocol.
    """
    if request.method != "GET" or request.version != "1.1":
        raise HTTPError(400, "a WebSocket is opened with GET and HTTP/1.1")
    if request.length != 0:
        raise HTTPError(400, "a WebSocket is opened without a body")
    if request.get(b"sec-websocket-version") != b"13":
        fields = ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"))
        raise HTTPError(426, "only WebSocket version 13", *fields)
    if not websocket.is_key(request.get(_KEY)):
        raise HTTPError(400, "bad Sec-WebSocket-Key")
    more = b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode() if extensions else b""
    if protocol:
        more += b"Sec-WebSocket-Protocol: %b\r\n" % protocol
    return Switch(_SWITCH, b"\r\n%b\r\n" % more)


def first_protocol(request: Request) -> bytes:
    """The subprotocol that a client names first, which is what Engine.IO's server agrees to: a
    browser that named some fails a connection that agrees to none (RFC 6455 section 4.1). Empty
    without one, or if it is no token.
    """
    offered = request.get(b"sec-websocket-protocol")
    if not offered:  # as nearly everybody's
        return b""
    first = offered.partition(b",")[0].strip(b" \t")
    return first if _TOKEN.fullmatch(first) else b""


def deflate_answer(request: Request) -> tuple[int, str]:
    """The wire form and the Sec-WebSocket-Extensions for a request, where compression is on."""
    offers = request.get(b"sec-websocket-extensions").decode("latin-1")
    agreed = deflate.negotiate(offers) if offers else None
    if agreed is None:
        return engineio.WEBSOCKET, ""
    window, answer = agreed
    return engineio.deflated_wire(window), answer


def receiver_for(wire: int, max_payload: int) -> websocket.Receiver:
    return websocket.Receiver(max_payload, deflate=wire >= engineio.DEFLATED)


class WebSocketTransport(StreamTransport):
    """Sessions over WebSocket."""

    name = "websocket"

    def __init__(self, engine: Engine, reactor: Reactor, linger: Linger) -> None:
        super().__init__(engine, reactor, linger)
        self._max_payload = engine.limits.max_payload
        self._receive_text = engine.receive_text

    # What the reactor calls

    def received(self, connection: Connection, data: bytes) -> None:
        # HOT: one whole text frame, which is what a chat client sends, skips the receiver:
        # 0.9 instead of 1.9 us (benchmarks echo).
        if connection.receiver is None and len(data) <= self._max_payload:
            payload = websocket.whole_text(data)
            if payload is not None and payload.isascii():
                self._receive_text(connection, payload)
                if connection.running >= self._max_handlers and not connection.closed:
                    connection.inbox = iter(())
                    self._wait(connection)
                return
        if connection.receiver is None:
            connection.receiver = receiver_for(connection.wire, self._max_payload)
        self.resume_with(connection, data)

    def resume_with(self, connection: Connection, data: bytes) -> None:
        """Go on with the connection's receiver."""
        receiver = connection.receiver
        if receiver is not None:
            receiver.receive_data(data)
            connection.inbox = receiver.events()
            self.pump(connection)

    def pump(self, connection: Connection) -> None:
        try:
            super().pump(connection)
        except WebSocketError as error:
            self.fail(connection, error)

    def fail(self, connection: Connection, error: WebSocketError) -> None:
        """The client broke RFC 6455: tell it with a close frame why (section 7.1.7)."""
        self.engine.fanout.send(
            connection,
            Frame(websocket.CLOSE, error.code.to_bytes(2, "big") + str(error).encode()[:120]),
        )
        self.part(connection)
        self.engine.refuse(connection, error)

    # What SessionTransport calls

    def handle(self, connection: Connection, item: tuple[int, bytes]) -> None:
        opcode, payload = item
        if opcode == websocket.TEXT:
            self.engine.receive_text(connection, payload)
        elif opcode == websocket.BINARY:
            self.engine.receive_binary(connection, payload)
        elif opcode == websocket.PING:
            self.engine.fanout.send(connection, Frame(websocket.PONG, payload))
        elif opcode == websocket.CLOSE:
            self.closed_by_client(connection, payload)

    def left(self, connection: Connection) -> None:
        """Engine.IO's `close`: the WebSocket ends as WebSockets do (RFC 6455 section 7.1.1)."""
        self.closed_by_client(connection, websocket.NORMAL.to_bytes(2, "big"))

    def closed_by_client(self, connection: Connection, payload: bytes) -> None:
        """Answer a close frame with its own code and go (RFC 6455 section 5.5.1)."""
        self.engine.fanout.send(connection, Frame(websocket.CLOSE, payload[:2]))
        self.part(connection)
        self.engine.close(connection, TRANSPORT_CLOSE)

    def hold(self, connection: Connection) -> None:
        self.reactor.hold(connection)

    def drained(self, connection: Connection) -> None:
        self.reactor.release(connection)
        if connection.receiver is not None and connection.receiver.idle:
            connection.receiver = None

    # What the hub calls

    def finish(self, connection: Connection, reason: str) -> None:
        if connection.fd < 0:
            return
        if reason in (TRANSPORT_CLOSE, TRANSPORT_ERROR, PING_TIMEOUT, SLOW_CONSUMER):
            self.reactor.close(connection, reset=reason == SLOW_CONSUMER)
            return
        code = _CLOSE_CODES.get(reason, websocket.NORMAL).to_bytes(2, "big")
        text = reason.encode() if reason == TOKEN_EXPIRED else b""
        self.engine.fanout.send(connection, Frame(websocket.CLOSE, code + text))
        self.part(connection)
