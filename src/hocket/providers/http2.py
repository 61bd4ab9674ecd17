"""Requests over one HTTP/2 connection. h2 does the protocol; this is its socket, and what became of
each request.

Source: RFC 9113. What a server ended without looking at it (GOAWAY, REFUSED_STREAM; sections 6.8,
8.7) is sent again on another connection; what it may have looked at is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import msgspec

MAX_BODY: Final = 16_384  # bytes of an answer
MAX_STREAMS: Final = 1_000  # on a connection, whatever the server allows
PING_EVERY: Final = 20.0  # seconds; without a byte since the last one the connection is dead
UNPROVEN: Final = frozenset((0, 401, 403, 429))  # answers that may be about the credentials
IDS: Final = 2**31 - 3  # stream ids end; long before a connection does

Headers = Sequence[tuple[str, str]]


class Response(msgspec.Struct, frozen=True):
    """An answer. `headers` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class LostError(Exception):
    """The connection ended under a request that the server may have acted on."""


class UnsentError(Exception):
    """The server has not acted on the request: it can be sent again elsewhere."""


class _H2(h2.connection.H2Connection):
    """h2 takes a connection for closed once GOAWAY has come, and refuses the answers that are still
    to come; here it stays open.
    """

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class _Stream:
    """A request on its way."""

    __slots__ = ("answer", "body", "headers", "status", "unsent")

    def __init__(self, answer: asyncio.Future[Response], unsent: bytes) -> None:
        self.answer = answer
        self.unsent = unsent  # what flow control holds back
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Owner(Protocol):
    """Whose connection it is."""

    loop: asyncio.AbstractEventLoop

    def wake(self) -> None:
        """There may be room for more requests."""

    def drop(self, connection: Connection, error: Exception) -> None:
        """It has ended, and why."""


class Connection(asyncio.Protocol):
    """One connection. Until the first answer to a request with valid credentials it takes one at a
    time: Apple's rule for tokens.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        config = h2.config.H2Configuration(header_encoding="utf-8", logger=None)
        self._h2 = _H2(config)
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._held: set[int] = set()  # streams with a body that has not gone out
        self.proven = False
        self.ready: asyncio.Future[None] = owner.loop.create_future()  # the server's settings came
        self._limit = 1
        self._heard = True
        self._ping: asyncio.TimerHandle | None = None
        self._flush_planned = False
        self._ended = False
        self.closing = False  # takes no further requests

    @property
    def free(self) -> int:
        """How many more requests it takes now."""
        if self.closing or self._transport is None:
            return 0
        return (self._limit if self.proven else min(self._limit, 1)) - len(self._streams)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        secure = transport.get_extra_info("ssl_object")
        if secure is not None and secure.selected_alpn_protocol() != "h2":
            self._transport = cast(asyncio.Transport, transport)
            self._end(LostError("the server speaks no HTTP/2"))
            return
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**24)
        self._flush()
        self._ping = self._owner.loop.call_later(PING_EVERY, self._keep_alive)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            for event in self._h2.receive_data(data):
                handler = _HANDLERS.get(type(event))
                if handler is not None:
                    handler(self, event)
        except h2.exceptions.ProtocolError as error:
            self._flush()
            self._end(LostError(f"not HTTP/2: {error}"))
            return
        self._flush()
        if self.closing and not self._streams:
            self.close()
        self._owner.wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(LostError(f"the connection was lost: {error or 'closed by the server'}"))

    # Requests

    async def request(self, headers: Headers, body: bytes) -> Response:
        """Send one; there must be room (`free`). Cancelled, it resets the stream.

        Raises: LostError, UnsentError.
        """
        id = self._h2.get_next_available_stream_id()
        if id >= IDS:
            self.closing = True
        try:
            self._h2.send_headers(id, headers)
        except h2.exceptions.ProtocolError as error:  # what h2 and we know differs: take no more
            self.closing = True
            raise UnsentError(f"{type(error).__name__}: {error}") from None
        stream = _Stream(self._owner.loop.create_future(), body)
        self._streams[id] = stream
        self._send_body(id, stream)
        self._flush_later()
        try:
            return await stream.answer
        except asyncio.CancelledError:
            self._reset(id)
            raise

    def _send_body(self, id: int, stream: _Stream) -> None:
        while True:
            room = min(self._h2.local_flow_control_window(id), self._h2.max_outbound_frame_size)
            part, stream.unsent = stream.unsent[:room], stream.unsent[max(room, 0) :]
            if stream.unsent and room <= 0:
                self._held.add(id)
                return
            self._h2.send_data(id, part, end_stream=not stream.unsent)
            if not stream.unsent:
                self._held.discard(id)
                return

    def _reset(self, id: int, code: int = h2.errors.ErrorCodes.CANCEL) -> None:
        if self._streams.pop(id, None) is not None and not self._h2_closed:
            self._held.discard(id)
            self._h2.reset_stream(id, code)
            self._flush()
            self._owner.wake()

    def _finish(self, id: int, error: Exception | None = None) -> None:
        stream = self._streams.pop(id, None)
        self._held.discard(id)
        if stream is None:
            return
        if error is not None:
            stream.fail(error)
        elif not stream.answer.done():
            if stream.status not in UNPROVEN and stream.status < 500:
                self.proven = True
            stream.answer.set_result(Response(stream.status, stream.headers, bytes(stream.body)))

    # What the server says

    def _on_response(self, event: h2.events.ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.headers = dict(event.headers)  # type: ignore[arg-type]
            status = stream.headers.get(":status", "")
            stream.status = int(status) if status.isdigit() else 0

    def _on_data(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is not None and len(stream.body) < MAX_BODY:
            stream.body += event.data[: MAX_BODY - len(stream.body)]

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        """The answer. Where it came before all of the request had gone out, the stream is still
        open, and would count against the limit for ever (RFC 9113 section 8.1).
        """
        id = event.stream_id
        if id in self._held:
            self._h2.reset_stream(id, h2.errors.ErrorCodes.CANCEL)
        self._finish(id)

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
        kind = UnsentError if refused else LostError
        self._finish(event.stream_id, kind(f"the server reset it ({event.error_code:d})"))

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self._limit = min(self._h2.remote_settings.max_concurrent_streams, MAX_STREAMS)
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_held()

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        self._send_held()

    def _send_held(self) -> None:
        for id in list(self._held):
            try:
                self._send_body(id, self._streams[id])
            except h2.exceptions.StreamClosedError:  # the event that says so follows
                self._held.discard(id)

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        """Streams up to the named one are still answered, the others were not looked at."""
        self.closing = True
        last = event.last_stream_id or 0
        for id in [id for id in self._streams if id > last]:
            self._finish(id, UnsentError("the server is going away"))

    # Its end

    def _keep_alive(self) -> None:
        if not self._heard:
            self._end(LostError(f"nothing was heard for {PING_EVERY:g} s"))
            return
        self._heard = False
        if not self._h2_closed:
            self._h2.ping(b"\x00" * 8)
            self._flush()
        self._ping = self._owner.loop.call_later(PING_EVERY, self._keep_alive)

    @property
    def _h2_closed(self) -> bool:
        return self._h2.state_machine.state is h2.connection.ConnectionState.CLOSED

    def _flush_later(self) -> None:
        """One write for all requests of a turn of the loop."""
        if not self._flush_planned:
            self._flush_planned = True
            self._owner.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Say goodbye, and go."""
        if not self._h2_closed:
            self._h2.close_connection()
            self._flush()
        self._end(LostError("the connection was closed"))

    def _end(self, error: Exception) -> None:
        if self._ended:
            return
        self._ended = self.closing = True
        if not self.ready.done():
            self.ready.set_exception(error)
        for id in list(self._streams):
            self._finish(id, error)
        if self._ping is not None:
            self._ping.cancel()
        if self._transport is not None:
            self._transport.close()
        self._owner.drop(self, error)


_HANDLERS: Final[dict[type, Any]] = {
    h2.events.ResponseReceived: Connection._on_response,
    h2.events.DataReceived: Connection._on_data,
    h2.events.StreamEnded: Connection._on_end,
    h2.events.StreamReset: Connection._on_reset,
    h2.events.RemoteSettingsChanged: Connection._on_settings,
    h2.events.WindowUpdated: Connection._on_window,
    h2.events.ConnectionTerminated: Connection._on_goaway,
}
