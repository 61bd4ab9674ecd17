"""The front door of the Socket.IO path: which request opens, serves or upgrades which session, and
which is turned away.

Refusals have the JSON body of Engine.IO's server, `{"code": ..., "message": ...}`, which clients
show to their developers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from hocket.errors import HTTPError
from hocket.hub.connection import Connection
from hocket.hub.engine import Engine
from hocket.hub.handshake import Handshake
from hocket.protocol.engineio import WEBSOCKET
from hocket.protocol.http1 import Request, keep_field, response
from hocket.protocol.websocket import text_frame
from hocket.transport.http import HttpTransport
from hocket.transport.linger import Linger
from hocket.transport.origins import Origins
from hocket.transport.polling import PollingTransport
from hocket.transport.reactor import Reactor, write_small
from hocket.transport.sse import Explain, SseTransport, as_it_is
from hocket.transport.stream import HttpStream
from hocket.transport.upgrade import UpgradeTransport
from hocket.transport.websocket import (
    Switch,
    WebSocketTransport,
    deflate_answer,
    first_protocol,
    switch_for,
)

# Engine.IO's error codes and texts.
UNKNOWN_TRANSPORT: Final = (0, "Transport unknown")
UNKNOWN_SID: Final = (1, "Session ID unknown")
BAD_METHOD: Final = (2, "Bad handshake method")
BAD_REQUEST: Final = (3, "Bad request")
FORBIDDEN: Final = (4, "Forbidden")
BAD_VERSION: Final = (5, "Unsupported protocol version")

FULL: Final = "there is no room for more clients"
STOPS: Final = "the server stops: another may be there for you"
_WANTED: Final = "wanted"  # among the notes of a request
_JSON = (b"content-type", b"application/json")

Admit = Callable[[Handshake], Awaitable[str | None] | str | None]


class Refused(Exception):
    """This request gets an Engine.IO error."""

    def __init__(self, error: tuple[int, str], status: int = 400) -> None:
        super().__init__(error[1])
        self.status = status
        self.body = msgspec.json.encode({"code": error[0], "message": error[1]})


class Gateway:
    """Serves the requests on the Socket.IO path.

    Args:
        engine, reactor, linger, http: the worker's.
        origins: which pages may come.
        admit: asked before a session opens; None, or the reason of the refusal; possibly awaitable.
        compression: whether to agree to permessage-deflate.
        capacity: sessions that there may be: those that poll need no open file.
    """

    def __init__(
        self,
        engine: Engine,
        reactor: Reactor,
        linger: Linger,
        http: HttpTransport,
        origins: Origins,
        admit: Admit | None,
        compression: bool = False,
        capacity: int = 1 << 30,
    ) -> None:
        self._engine = engine
        self._capacity = capacity
        self.stops = False  # let nobody new in
        self._reactor = reactor
        self._http = http
        self._linger = linger
        self._origins = origins
        self._admit = admit
        self._compression = compression
        self.websocket = WebSocketTransport(engine, reactor, linger)
        self.sse = SseTransport(engine, reactor, linger)
        self.polling = PollingTransport(engine, reactor, http.answer)
        self._upgrades = UpgradeTransport(engine, reactor, linger, self.websocket)

    # Plain requests

    def request(self, stream: HttpStream, request: Request, body: bytes) -> None:
        """GET, POST and OPTIONS: polling."""
        if request.method == "OPTIONS":
            self.preflight(stream, request)
            return
        headers = [*self._origins.headers(request), *keep_field(request)]
        if not request.keep_alive:
            headers.append((b"connection", b"close"))
        try:
            self._serve(stream, request, body, headers)
        except Refused as refused:
            self._http.answer(
                stream,
                response(
                    refused.status,
                    [*self._http.date(), _JSON, *headers],
                    refused.body,
                    head_only=request.method == "HEAD",
                ),
            )

    def preflight(self, stream: HttpStream, request: Request) -> None:
        """A page of another origin asks whether it may send what it wants to."""
        fields = [*self._http.date(), *self._origins.preflight(request)]
        self._http.answer(stream, response(204, fields, close=not request.keep_alive))

    def _serve(
        self, stream: HttpStream, request: Request, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        params = self._check(request, "polling")
        sid = params.get("sid")
        if not sid:
            if request.method != "GET":
                raise Refused(BAD_METHOD)
            self._check_version(params)
            self._enter(stream, request, lambda: self.polling.open(stream, request, headers))
            return
        connection = self._engine.connections.get(sid)
        if connection is None:
            self._farewell(stream, request, sid, headers)
        elif connection.transport is not self.polling:
            raise Refused(BAD_REQUEST)
        elif request.method == "GET":
            if not self.polling.poll(connection, stream, headers):
                raise Refused(BAD_REQUEST)
        elif request.method != "POST" or not self.polling.post(connection, stream, body, headers):
            raise Refused(BAD_REQUEST)

    def _check(self, request: Request, transport: str) -> Mapping[str, str]:
        """What every request must have, and that it comes as its transport does; its parameters."""
        if why := self._origins.why_not(request):
            raise Refused((FORBIDDEN[0], why), 403)
        params = request.params()
        if params.get("transport") not in ("polling", "websocket"):
            raise Refused(UNKNOWN_TRANSPORT)
        if params["transport"] != transport:
            raise Refused(BAD_REQUEST)
        return params

    def _check_version(self, params: Mapping[str, str]) -> None:
        if params.get("EIO") != "4":
            raise Refused(BAD_VERSION)

    def _farewell(
        self, stream: HttpStream, request: Request, sid: str, headers: list[tuple[bytes, bytes]]
    ) -> None:
        last = self.polling.farewell(sid) if request.method == "GET" else None
        if last is None:
            raise Refused(UNKNOWN_SID)
        fields = [*self._http.date(), (b"content-type", b"text/plain; charset=UTF-8"), *headers]
        self._http.answer(stream, response(200, fields, last))

    # Server-Sent Events

    def events(self, stream: HttpStream, request: Request, explain: Explain = as_it_is) -> None:
        """A client that wants to listen. `explain`: see SseTransport.open."""
        if self.stops or self._full:  # EventSource comes back after an end, never after an error
            self._http.cut(stream)
            return
        headers = self._origins.headers(request)
        stream.keep_alive = False
        try:
            if why := self._origins.why_not(request):
                raise Refused((FORBIDDEN[0], why), 403)
            enter = partial(self.sse.open, stream, request, headers, explain)
            self._enter(stream, request, enter, explain)
        except Refused as refused:
            self._refuse_listener(stream, request, refused, explain)

    def _refuse_listener(
        self, stream: HttpStream, request: Request, refused: Refused, explain: Explain
    ) -> None:
        status, fields, body = explain(refused.body)
        fields = [*self._http.date(), *fields, *self._origins.headers(request)]
        self._http.answer(stream, response(status, fields, body, close=True))

    # Upgrades

    def upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> None:
        """A WebSocket: a new session, or an old one that wants to move."""
        stream.busy = True
        try:
            self._upgrade(stream, request, rest)
        except Refused as refused:
            stream.keep_alive = False
            fields = [*self._http.date(), _JSON]
            self._http.answer(stream, response(refused.status, fields, refused.body, close=True))

    def _upgrade(self, stream: HttpStream, request: Request, rest: bytes) -> None:
        # HOT: clients repeat their heads, so one is looked at once (`Heads`): 1.2 us of the 60 that
        # a connection takes (benchmarks storm).
        seen = request.notes.get(_WANTED)
        if seen is None:
            seen = request.notes[_WANTED] = self._wanted(request)
        sid, wire, switch = seen
        answer = switch.answer(request)
        if not sid:
            self._enter(stream, request, partial(self._open, stream, request, wire, answer, rest))
        elif (connection := self._engine.connections.get(sid)) is None:
            raise Refused(UNKNOWN_SID)
        else:
            self._probe(stream, connection, wire, answer, rest)

    def _wanted(self, request: Request) -> tuple[str, int, Switch]:
        """Which session a client wants a WebSocket for (empty: a new one), its wire form, and the
        answer.
        """
        params = self._check(request, "websocket")
        wire, extensions = deflate_answer(request) if self._compression else (WEBSOCKET, "")
        switch = switch_for(request, extensions, first_protocol(request))
        sid = params.get("sid", "")
        if not sid:
            self._check_version(params)
        return sid, wire, switch

    def _open(
        self, stream: HttpStream, request: Request, wire: int, answer: bytes, rest: bytes
    ) -> None:
        connection = self._engine.open(
            self.websocket, wire, request.head, stream.address, stream.secure
        )
        self._reactor.replace(stream, connection)
        opening = text_frame(self._engine.handshake(connection))
        self._engine.fanout.write(connection, answer + opening)
        self._engine.heartbeat(connection)
        self._reactor.release(connection)  # it may have said much, or gone, while it was not read
        if rest or stream.buffer:
            self.websocket.received(connection, rest + stream.buffer)

    def _probe(
        self, stream: HttpStream, connection: Connection, wire: int, answer: bytes, rest: bytes
    ) -> None:
        """A client library may not take an HTTP error here without falling over, so a late one is
        let in and shown out (as Node does).
        """
        probe = self._upgrades.start(connection, wire)
        if probe is None:
            write_small(stream.fd, answer + b"\x88\x00")
            self._linger.part(stream)
            return
        self._reactor.replace(stream, probe)
        write_small(probe.fd, answer)
        if rest:
            self._upgrades.received(probe, rest)

    # Admission

    @property
    def _full(self) -> bool:
        return len(self._engine.connections) >= self._capacity

    def _check_room(self) -> None:
        """Whether anybody may come in; raises Refused."""
        if self.stops or self._full:
            raise Refused((FORBIDDEN[0], STOPS if self.stops else FULL), 503)

    def _enter(
        self,
        stream: HttpStream,
        request: Request,
        enter: Callable[[], None],
        listens: Explain | None = None,
    ) -> None:
        """Open a session, if there is room and `on_handshake` has nothing against it. `listens`:
        the client comes back after an end, and never after an error, which this says.
        """
        self._check_room()
        if self._admit is None:
            enter()
            return
        verdict = self._admit(
            Handshake(request.head, stream.address, self._engine.loop.wall_clock(), stream.secure)
        )
        if isinstance(verdict, Coroutine):
            self._engine.loop.spawn(self._enter_later(stream, request, verdict, enter, listens))
        elif verdict is not None:
            raise Refused((FORBIDDEN[0], str(verdict)), 403)
        else:
            enter()

    async def _enter_later(
        self,
        stream: HttpStream,
        request: Request,
        verdict: Coroutine[Any, Any, str | None],
        enter: Callable[[], None],
        listens: Explain | None,
    ) -> None:
        reason = await verdict
        if stream.fd < 0:
            return
        try:
            if reason is not None:
                raise Refused((FORBIDDEN[0], reason), 403)
            if self._moves(stream, request):
                return
            if listens is not None and (self.stops or self._full):
                self._http.cut(stream)
                return
            self._check_room()
            enter()
        except Refused as refused:
            if listens is not None:
                self._refuse_listener(stream, request, refused, listens)
                return
            stream.keep_alive = stream.keep_alive and not request.upgrade
            self._http.answer(
                stream,
                response(
                    refused.status,
                    [*self._http.date(), _JSON, *self._origins.headers(request)],
                    refused.body,
                    close=not stream.keep_alive,
                ),
            )
        except HTTPError as error:
            self._http.answer(stream, self._http.error_response(error, request))

    def _moves(self, stream: HttpStream, request: Request) -> bool:
        """Whether a session that is about to open is another process's by now: this one may have
        given its place while `on_handshake` ran, and the client's next requests go to that one. Not
        with a body, which has been read.
        """
        elsewhere = self._http.elsewhere
        if elsewhere is None or request.length != 0:
            return False
        if request.params().get("transport") != self.polling.name:
            return False
        stream.busy = False
        moved = elsewhere(stream, request, request.head + stream.buffer)
        stream.busy = not moved
        return moved
