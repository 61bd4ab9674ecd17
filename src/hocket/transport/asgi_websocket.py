"""WebSocket routes of mounted applications, on this server's own framing (ASGI WebSocket
specification, version 2.4).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hocket.errors import WebSocketError
from hocket.hub.engine import Loop
from hocket.hub.outbox import Backlog
from hocket.protocol import websocket
from hocket.protocol.http1 import Request, header_lines, response
from hocket.transport.asgi import AsgiApp, Message, Scope, checked_fields
from hocket.transport.linger import Linger
from hocket.transport.outgoing import Outgoing
from hocket.transport.reactor import Reactor
from hocket.transport.stream import HttpStream
from hocket.transport.websocket import switch_for

log = logging.getLogger("hocket")

QUEUE: Final = 65_536  # bytes of messages that wait for the application
NO_CODE: Final = 1005  # what a close frame without a code is told as (RFC 6455 section 7.1.5)
BROKEN: Final = 1006  # the connection ended without a close frame
FAILED: Final = 1011  # the application raised

CONNECTING, OPEN, CLOSED = range(3)


class AsgiWebSocket:
    """One WebSocket, as its application sees it."""

    __slots__ = (
        "_denial", "_inbox", "_size", "_switch", "_waiting", "answered", "backlog", "fd", "on_room",
        "receiver", "state", "timer", "transport",
    )  # fmt: skip

    def __init__(self, transport: AsgiWebSocketTransport, switch: bytes) -> None:
        self.transport = transport
        self.fd = -1
        self.state = CONNECTING
        self.backlog: Backlog | None = None
        self.on_room: asyncio.Event | None = None
        self.receiver = websocket.Receiver(transport.max_payload)
        self.answered = True
        self.timer: Any = None
        self._switch = switch
        self._denial: tuple[int, list[tuple[bytes, bytes]], list[bytes]] | None = None
        self._inbox: deque[Message] = deque([{"type": "websocket.connect"}])
        self._size = 0
        self._waiting: asyncio.Event | None = None  # of all that wait in `receive`

    @property
    def full(self) -> bool:
        return self._size >= QUEUE

    async def receive(self) -> Message:
        """The application's `receive`."""
        while not self._inbox:
            if self._waiting is None:
                self._waiting = asyncio.Event()
            await self._waiting.wait()
        message = self._inbox.popleft()
        if message["type"] == "websocket.disconnect":
            self._inbox.append(message)  # whoever asks again is told again
        was_full = self.full
        self._size -= _cost(message)
        if was_full and not self.full:
            self.transport.go_on(self)
        return message

    def tell(self, message: Message) -> None:
        """Something that `receive` gives."""
        self._inbox.append(message)
        self._size += _cost(message)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set()

    async def send(self, message: Message) -> None:
        """The application's `send`. Raises ConnectionError when the client has gone."""
        kind = message["type"]
        if self.state == CLOSED:
            raise ConnectionError("the WebSocket is closed")
        if self.state == CONNECTING:
            self._answer(kind, message)
        elif kind == "websocket.send":
            text, data = message.get("text"), message.get("bytes")
            opcode = websocket.BINARY if text is None else websocket.TEXT
            payload = (data or b"") if text is None else text.encode()
            self.transport.out.send(self, websocket.frame(opcode, payload))
            await self.transport.out.room(self)
        elif kind == "websocket.close":
            code = message.get("code") or websocket.NORMAL
            if code != NO_CODE and code not in websocket.CLOSE_CODES:
                raise ValueError(f"{code} is no code that a WebSocket can be closed with")
            self.transport.close(self, code, message.get("reason") or "")
        else:
            raise RuntimeError(f"{kind!r} cannot come after the WebSocket was accepted")

    def _answer(self, kind: str, message: Message) -> None:
        """What becomes of the handshake."""
        if kind == "websocket.accept":
            fields = checked_fields(message.get("headers", ()))
            if (chosen := message.get("subprotocol")) is not None:
                fields += checked_fields([(b"sec-websocket-protocol", chosen.encode("latin-1"))])
            self.transport.accept(self, self._switch[:-2] + header_lines(fields) + b"\r\n")
        elif kind == "websocket.close":
            self.transport.refuse(self, response(403, close=True))
        elif kind == "websocket.http.response.start":
            fields = checked_fields(message.get("headers", ()))
            kept = [field for field in fields if field[0] not in _FRAMING]
            self._denial = int(message["status"]), kept, []
        elif kind == "websocket.http.response.body" and self._denial is not None:
            status, fields, parts = self._denial
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                whole = response(status, fields, b"".join(parts), close=True)
                self.transport.refuse(self, whole)
        else:
            raise RuntimeError(f"{kind!r} cannot come before the WebSocket is accepted")


_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def _cost(message: Message) -> int:
    """What a message counts against the queue; 100 bytes for a message without any."""
    return len(message.get("text") or message.get("bytes") or b"") + 100


class AsgiWebSocketTransport:
    """The transport of all of them.

    Args:
        loop, reactor, linger: the worker's.
        spawn: starts a task.
        max_payload: bytes of the longest message.
        max_outbox: bytes that may wait for a client before `send` waits.
        ping_interval: seconds between two pings; who has not answered one by the next is gone.
    """

    def __init__(
        self,
        loop: Loop,
        reactor: Reactor,
        linger: Linger,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        max_payload: int,
        max_outbox: int,
        ping_interval: float,
    ) -> None:
        self._loop = loop
        self._reactor = reactor
        self._linger = linger
        self._spawn = spawn
        self._interval = ping_interval
        self.max_payload = max_payload
        self.all: set[AsgiWebSocket] = set()
        self.out: Outgoing[AsgiWebSocket] = Outgoing(loop, reactor, max_outbox, self.ended)

    def open(
        self, stream: HttpStream, request: Request, rest: bytes, app: AsgiApp, scope: Scope
    ) -> None:
        """Raises HTTPError for a request that cannot open a WebSocket."""
        end = AsgiWebSocket(self, switch_for(request).answer(request))
        wanted = request.get(b"sec-websocket-protocol").decode("latin-1")
        scope.update(
            type="websocket",
            asgi={"version": "3.0", "spec_version": "2.4"},
            scheme="wss" if stream.secure else "ws",
            subprotocols=[each.strip() for each in wanted.split(",") if each.strip()],
            extensions={"websocket.http.response": {}},
        )
        del scope["method"]
        self._reactor.replace(stream, end)
        self.all.add(end)
        end.receiver.receive_data(rest)
        self._spawn(self._run(end, app, scope))

    async def _run(self, end: AsgiWebSocket, app: AsgiApp, scope: Scope) -> None:
        code = websocket.NORMAL
        try:
            await app(scope, end.receive, end.send)
        except Exception:
            if end.state != CLOSED:
                log.exception("an application failed", extra={"path": scope["path"]})
            code = FAILED
        finally:
            if end.state == CONNECTING:
                status = 500 if code == FAILED else 403
                self.refuse(end, response(status, close=True))
            elif end.state == OPEN:
                self.close(end, code)

    # What the application says

    def accept(self, end: AsgiWebSocket, head: bytes) -> None:
        end.state = OPEN
        self.out.send(end, head)
        self._plan(end)
        self.go_on(end)

    def refuse(self, end: AsgiWebSocket, answer: bytes) -> None:
        self.out.send(end, answer)
        self._leave(end, BROKEN)

    def close(self, end: AsgiWebSocket, code: int, reason: str = "") -> None:
        """NO_CODE, which a proxy of somebody's passes on, is said by saying none."""
        nothing = websocket.frame(websocket.CLOSE, b"")
        self.out.send(end, nothing if code == NO_CODE else websocket.close_frame(code, reason))
        self._leave(end, code, reason)

    def go_on(self, end: AsgiWebSocket) -> None:
        """The application takes messages, or takes them again."""
        self._reactor.release(end)
        self._pump(end)

    def _leave(self, end: AsgiWebSocket, code: int, reason: str = "") -> None:
        """Nothing more is said; what waits is sent, then the connection ends."""
        self._end(end, code, reason)
        self.out.release(end)
        self._linger.part(end, end.backlog)

    def _end(self, end: AsgiWebSocket, code: int, reason: str = "") -> None:
        end.state = CLOSED
        self.all.discard(end)
        if end.timer is not None:
            end.timer.cancel()
        end.tell({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.out.wake(end)

    # What the reactor calls

    def received(self, end: AsgiWebSocket, data: bytes) -> None:
        end.receiver.receive_data(data)
        if end.state == OPEN:
            self._pump(end)
        else:  # nobody speaks before the answer but who wants to fill the memory
            self._reactor.hold(end)

    def _pump(self, end: AsgiWebSocket) -> None:
        if end.full:  # `go_on` comes back for what is in the receiver
            self._reactor.hold(end)
            return
        try:
            for opcode, payload in end.receiver.events():
                self._hand_on(end, opcode, payload)
                if end.state != OPEN:
                    return
                if end.full:
                    self._reactor.hold(end)
                    return
        except WebSocketError as error:
            self.close(end, error.code, str(error))

    def _hand_on(self, end: AsgiWebSocket, opcode: int, payload: bytes) -> None:
        if opcode == websocket.TEXT:
            end.tell({"type": "websocket.receive", "text": payload.decode()})
        elif opcode == websocket.BINARY:
            end.tell({"type": "websocket.receive", "bytes": payload})
        elif opcode == websocket.PING:
            if end.backlog is None:  # else who pings and never reads could fill the memory
                self.out.send(end, websocket.frame(websocket.PONG, payload))
        elif opcode == websocket.PONG:
            end.answered = True
        else:
            code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
            self.out.send(end, websocket.frame(websocket.CLOSE, payload[:2]))
            self._leave(end, code, payload[2:].decode())

    def ended(self, end: AsgiWebSocket) -> None:
        if end.state != CLOSED:
            self._end(end, BROKEN)
        self._reactor.close(end)

    failed = ended

    def writable(self, end: AsgiWebSocket) -> None:
        end.answered = end.answered or end.full
        try:
            self.out.write_out(end)
        except OSError:
            self.ended(end)

    # Heartbeat

    def _plan(self, end: AsgiWebSocket) -> None:
        end.timer = self._loop.call_later(self._interval, lambda: self._beat(end))

    def _beat(self, end: AsgiWebSocket) -> None:
        # Who is not read from cannot show its pong; while it is sent something, that it takes it
        # will do.
        unread = (end.full and end.backlog is None) or self._reactor.paused
        if not end.answered and not unread:
            self.ended(end)
            return
        end.answered = False
        self.out.send(end, websocket.frame(websocket.PING, b""))
        self._plan(end)

    def close_all(self) -> None:
        """The server stops: 1012 says that it will be back (IANA's registry of close codes)."""
        for end in tuple(self.all):
            if end.state == OPEN:
                self.close(end, 1012)
            else:
                self.refuse(end, response(503, close=True))
