"""The transport `sse`: a session that only listens, over one long HTTP response.

Each event is written once for all who listen, so the response has neither a length nor chunks: it
ends with its connection, which `EventSource` takes as the sign to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hocket.errors import (
    PING_TIMEOUT,
    SERVER_CLOSED,
    SHUTTING_DOWN,
    SLOW_CONSUMER,
    TRANSPORT_CLOSE,
    TRANSPORT_ERROR,
)
from hocket.hub.connection import Connection
from hocket.protocol.engineio import SSE, EncodedPacket
from hocket.protocol.http1 import Field, Request, response, response_head
from hocket.protocol.sse import opening
from hocket.transport.http import HttpTransport
from hocket.transport.session import StreamTransport
from hocket.transport.stream import HttpStream

RETRY: Final = 2.0  # seconds after which a client that lost its stream comes back
_STREAM: Final[list[Field]] = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx: pass each event on as it comes
]
_JSON: Final[Field] = (b"content-type", b"application/json")
_ACCEPTED: Final = b"40"
_REFUSED: Final = b"44"
_CUT: Final = frozenset({TRANSPORT_CLOSE, TRANSPORT_ERROR, PING_TIMEOUT, SLOW_CONSUMER})


# What a refusal is as a response: status, fields, body. It is the payload of a CONNECT_ERROR, or
# an error of Engine.IO's: 4, forbidden.
Explain = Callable[[bytes], tuple[int, list[Field], bytes]]


def as_it_is(payload: bytes) -> tuple[int, list[Field], bytes]:
    return 403, [_JSON], payload


class Opening:
    """The outbox of a session whose `connect` handler has not decided yet: the CONNECT answer
    becomes the response's head, a refusal the whole response.
    """

    __slots__ = ("_explain", "_fields", "_http", "_transport")

    def __init__(
        self, transport: SseTransport, http: HttpTransport, fields: list[Field], explain: Explain
    ) -> None:
        self._transport = transport
        self._http = http
        self._fields = fields
        self._explain = explain

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        if packet.text.startswith(_ACCEPTED):
            self._transport.accept(connection, [*self._http.date(), *self._fields])
        elif packet.text.startswith(_REFUSED):
            status, fields, body = self._explain(packet.text[len(_REFUSED) :])
            fields = [*self._http.date(), *fields, *self._fields]
            whole = response(status, fields, body, close=True)
            self._transport.refuse(connection, whole)


class SseTransport(StreamTransport):
    """Sessions over Server-Sent Events."""

    name = "sse"
    answers = False

    def open(
        self,
        stream: HttpStream,
        request: Request,
        fields: list[Field],
        explain: Explain = as_it_is,
    ) -> None:
        """A client wants to listen: it connects to the namespace `/`, and its query is its `auth`.

        Args:
            fields: CORS headers for the response; a Date comes before them.
            explain: says a refusal.

        Raises: HTTPError for a query that is too long.
        """
        auth = msgspec.json.encode(request.params())
        connection = self.engine.open(self, SSE, request.head, stream.address, stream.secure)
        self.reactor.replace(stream, connection)
        self.reactor.release(connection)  # it may have said too much before it was let in
        connection.outbox = Opening(self, stream.transport, fields, explain)
        self.engine.receive_text(connection, b"40" + auth)

    def accept(self, connection: Connection, fields: list[Field]) -> None:
        connection.outbox = None
        head = response_head(200, [*_STREAM, *fields], close=True)
        self.engine.fanout.write(connection, head + opening(RETRY))
        self.engine.heartbeat(connection)

    def refuse(self, connection: Connection, answer: bytes) -> None:
        connection.outbox = None
        self.engine.fanout.write(connection, answer)
        self.engine.close_soon(connection, SERVER_CLOSED)

    def received(self, connection: Connection, data: bytes) -> None:
        """Nobody is listening to a listener."""

    def finish(self, connection: Connection, reason: str) -> None:
        if connection.fd < 0:
            return
        opening = isinstance(connection.outbox, Opening)
        # EventSource comes back after an end, and never after an error.
        if reason in _CUT or (opening and reason == SHUTTING_DOWN):
            self.reactor.close(connection, reset=reason == SLOW_CONSUMER)
            return
        if opening:
            connection.outbox = None
            self.engine.fanout.write(connection, response(503, (), b"", close=True))
        self.part(connection)
