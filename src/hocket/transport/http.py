"""HTTP/1.1 on our own paths: requests in, one at a time and in order, responses out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from hocket.errors import HTTPError
from hocket.hub.engine import Loop
from hocket.hub.throttle import Throttle
from hocket.protocol.heads import Heads
from hocket.protocol.http1 import (
    CONTINUE,
    HEAD_END,
    MAX_HEAD,
    Field,
    Request,
    body_of,
    keep_field,
    response,
)
from hocket.transport.deadlines import Deadlines
from hocket.transport.linger import Linger
from hocket.transport.outgoing import Outgoing
from hocket.transport.reactor import Endpoint, Reactor
from hocket.transport.stream import HttpStream, Intake

if TYPE_CHECKING:
    from hocket.transport.proxies import Proxies

AHEAD: Final = 65_536  # bytes of further requests that are kept while one is answered
TURN: Final = 16  # requests that came together and are answered before others have their turn
ANY_SIZE: Final = 1 << 62  # of a body that is not kept
MOST_LARGE: Final = 4  # bodies over `max_body` that a worker holds at a time: 64 MiB of the API's
PROGRESS: Final = 16_384  # bytes of such a body that must come in each `request_timeout`
TLS: Final = b"\x16"  # how a client's hello begins: a handshake record (RFC 8446 section 5.1)
ALLOWS: Final = b"access-control-allow-origin"
_TEXT = (b"content-type", b"text/plain; charset=utf-8")

log = logging.getLogger("hocket")

# The header fields and body that say an error of a request, which is None where its head was not
# read; None: plain text.
Explain = Callable[[Request | None, HTTPError], tuple[Iterable[Field], bytes] | None]


class BodyLimit(NamedTuple):
    """What the body of a request for a path may have. `size`: bytes; `bearing`: how the
    Authorization field of a request must begin (in small letters) to have more than `max_body`.
    """

    size: int
    bearing: bytes = b""


class HttpTransport:
    """All HTTP connections of a worker.

    Args:
        loop: the worker's.
        reactor: the fds.
        linger: for answers after which the connection ends.
        max_body: bytes that a request body may have.
        request_timeout: seconds in which a whole request must have come.
        keep_alive: seconds that a connection may rest between requests.
        max_outbox: bytes of an answer that may wait for a slow client.
    """

    name = "http"

    def __init__(
        self,
        loop: Loop,
        reactor: Reactor,
        linger: Linger,
        max_body: int,
        request_timeout: float,
        keep_alive: float,
        max_outbox: int,
    ) -> None:
        self._loop = loop
        self._reactor = reactor
        self._linger = linger
        self._max_body = max_body
        self.out: Outgoing[HttpStream] = Outgoing(loop, reactor, max_outbox, self.cut)
        self._deadlines = Deadlines(request_timeout, keep_alive, loop.clock())
        self._wheel = self._deadlines.wheel
        self._heads = Heads()
        self._told_tls = Throttle(1)
        self.requests = 0
        self.proxies: Proxies | None = None  # None: nobody is trusted
        # Takes a request before its body is there; None: it is for `handle`.
        self.begin: Callable[[HttpStream, Request], Intake | None] | None = None
        # Moves a stream to the worker that is to serve its request, with all that came from that
        # request on; False: it is to be served here. None: there is one worker.
        self.elsewhere: Callable[[HttpStream, Request, bytes], bool] | None = None
        # What the bodies of requests for these paths may have, where it is not `max_body`.
        self.limits: Mapping[str, BodyLimit] = {}
        self.large = 0  # bodies over `max_body` that are here, or on their way
        # Paths of requests that may take over their connection: those wait for the answers before.
        self.takeovers: Collection[str] = ()
        self.explain: Explain = _plainly
        self.date: Callable[[], tuple[Field, ...]] = tuple  # the Date of errors
        # The header fields with which pages may read those that do not say it themselves.
        self.cors: Callable[[Request], Iterable[Field]] = _for_nobody
        self.handle: Callable[[HttpStream, Request, bytes], None] = _nothing_here
        # Takes over a stream that asks for a WebSocket, with what came behind its head; False: the
        # request is to be answered as if it did not ask (RFC 9110 section 7.8).
        self.upgrade: Callable[[HttpStream, Request, bytes], bool] = _no_upgrade

    @property
    def tick_seconds(self) -> float:
        return self._wheel.tick

    def accepted(self, fd: int, address: str) -> None:
        """A new connection."""
        stream = HttpStream(self, fd, address, False)
        self._reactor.add(stream, new=True)
        self._deadlines.begin(stream)

    def take(self, fd: int, peer: str, over_tls: bool, data: bytes) -> None:
        """A connection that another worker has given up, with what it has sent."""
        stream = HttpStream(self, fd, peer, over_tls)
        self._reactor.add(stream)
        self._deadlines.begin(stream)
        self.received(stream, data)

    def waiting(self, fd: int, peer: str, over_tls: bool) -> HttpStream:
        """A connection of a process before this one, whose request waits for its answer."""
        stream = HttpStream(self, fd, peer, over_tls)
        stream.busy = True
        self._reactor.add(stream)
        self._deadlines.begin(stream)
        return stream

    def streams(self) -> list[HttpStream]:
        """All connections."""
        return [end for end in self._reactor.endpoints() if isinstance(end, HttpStream)]

    def adopt(self, end: Endpoint, address: str, secure: bool, data: bytes) -> None:
        """A connection that came otherwise, with what it has sent: from now on it is ours."""
        stream = HttpStream(self, -1, address, secure)
        self._reactor.replace(end, stream)
        self._deadlines.begin(stream)
        if data:
            self.received(stream, data)

    def tick(self, now: float) -> None:
        """Close those that take too long."""
        for stream in self._deadlines.overdue(now, not self._reactor.paused):
            if stream.busy or stream.backlog is not None:
                self.cut(stream)  # a body comes too slowly, or an answer is taken too slowly
            elif stream.is_resting:
                self._reactor.close(stream)
            else:
                self.refuse(stream, HTTPError(408, "the request took too long"))

    # What the reactor calls

    def received(self, stream: HttpStream, data: bytes) -> None:
        if stream.leaving:
            return
        if stream.buffer:
            data = stream.buffer + data
            stream.buffer = b""
        elif not stream.busy and stream.request is None:
            stream.since = self._wheel.now
        if not self._takes(stream):
            stream.buffer = data
            if len(data) > AHEAD:
                self._reactor.hold(stream)
            return
        self._advance(stream, data)

    def ended(self, stream: HttpStream) -> None:
        """The client says no more. What it has asked for whole it may still hear, as `nc -N` does,
        within `request_timeout`: most have gone. Who wants to know when it goes is told so.
        """
        is_owed = (stream.busy and stream.request is None) or stream.backlog is not None
        if not is_owed or (stream.on_abort is not None and stream.on_end is None):
            self.cut(stream)
            return
        stream.ending, stream.since = True, self._wheel.now
        self._reactor.hold(stream)  # with more to read its end comes again, behind that
        if not stream.buffer:
            stream.keep_alive = False
            if not stream.busy and not stream.leaving:
                self.leave(stream)
        if stream.on_end is not None:
            stream.on_end()

    def cut(self, stream: HttpStream) -> None:
        """The connection ends now. What came and what waited go with it: the wheel keeps the stream
        for up to `request_timeout`.
        """
        self._reactor.close(stream)
        self._abort(stream)
        stream.request = stream.body = stream.intake = stream.backlog = None
        stream.buffer = b""
        self._lighten(stream)

    failed = cut

    def _abort(self, stream: HttpStream) -> None:
        on_abort, stream.on_abort, stream.on_end = stream.on_abort, None, None
        if on_abort is not None:
            on_abort()
        self.out.wake(stream)

    def writable(self, stream: HttpStream) -> None:
        stream.since = self._wheel.now
        try:
            if not self.out.write_out(stream):
                return
            if stream.leaving:
                self._linger.part(stream)
            else:
                self._next(stream)
        except OSError:
            self.cut(stream)

    # Requests

    def _advance(self, stream: HttpStream, data: bytes) -> None:
        """Read requests, of a stream that takes them, until one has to be waited for, or the bytes
        run out.
        """
        served = 0
        try:
            while True:
                read = self._read_head if stream.body is None else self._read_body
                rest = read(stream, data)
                if rest is None:
                    return
                data = rest
                if not data or not self._takes(stream):
                    break
                served += stream.body is None
                if served >= TURN:
                    self._reactor.hold(stream)
                    self._loop.defer(lambda: self._next(stream))
                    break
        except HTTPError as error:
            if stream.intake is not None and stream.intake.has_begun:
                self.cut(stream)
            else:
                self.refuse(stream, error)
            return
        if stream.fd >= 0:
            stream.buffer = data

    def _is_free(self, stream: HttpStream) -> bool:
        """It may go on to its next request: it is there, owes no answer, and takes what it gets."""
        ready = not stream.busy and not stream.leaving and stream.backlog is None
        return ready and stream.fd >= 0

    def _takes(self, stream: HttpStream) -> bool:
        return self._is_free(stream) or (stream.intake is not None and stream.fd >= 0)

    def _read_head(self, stream: HttpStream, data: bytes) -> bytes | None:
        """Take a head off `data`; what is left of it, or None if that is kept for later."""
        if data.startswith(b"\r\n"):  # old clients end a body with a line of its own
            data = data[2:]  # RFC 9112 section 2.2
        end = data.find(HEAD_END, 0, MAX_HEAD)
        if end < 0:
            if len(data) >= MAX_HEAD:
                raise _too_long(data)
            if data.startswith(TLS):
                raise self._not_tls(stream)
            stream.buffer = data
            return None
        end += len(HEAD_END)
        head, rest = data[:end], data[end:]
        request = self._heads.parse(head)
        if self.elsewhere is not None and self.elsewhere(stream, request, data):
            return None
        self.requests += 1
        if self.proxies is not None:
            stream.address, stream.secure = self.proxies.client(
                stream.peer, stream.over_tls, request
            )
        if request.upgrade or request.path in self.takeovers:
            self.out.release(stream)  # the answer to a request before
            if stream.backlog is not None:
                stream.buffer = data  # once that answer is out
                return None
        if request.upgrade and self.upgrade(stream, request, rest):
            return None
        if self.begin is not None and self._begin_early(stream, request):
            return rest
        if request.length == 0:
            self._begin(stream, request, b"")
            return rest
        stream.request = request  # for `refuse`
        limit = self._limit(request)
        stream.body, stream.got, stream.may_be_large = (
            body_of(request, limit),
            0,
            limit > self._max_body,
        )
        if request.expects and not rest:
            self.send(stream, CONTINUE)
        return rest

    def _limit(self, request: Request) -> int:
        """Bytes that a body may have."""
        limit = self.limits.get(request.path)
        if limit is None:
            return self._max_body
        if request.get(b"authorization").lower().startswith(limit.bearing):
            return limit.size
        return min(self._max_body, limit.size)

    def _grow(self, stream: HttpStream, size: int) -> None:
        """More of a body that is kept has come. Raises HTTPError 503 when it gets large, and as
        many as may be are.
        """
        stream.got += size
        if stream.got <= self._max_body or stream.is_large:
            return
        if self.large >= MOST_LARGE:
            raise HTTPError(503, "too many large requests are under way", (b"retry-after", b"1"))
        self.large += 1
        stream.is_large = True

    def _lighten(self, stream: HttpStream) -> None:
        """Its body is gone."""
        if stream.is_large:
            stream.is_large = False
            self.large -= 1

    def _not_tls(self, stream: HttpStream) -> HTTPError:
        """At once: its client waits for an answer to its hello, and sends no more."""
        if self._told_tls.admit():
            log.warning("a client speaks TLS: this port is http, not https",
                        extra={"address": stream.peer})  # fmt: skip
        return HTTPError(400, "this port is http, not https")

    def _read_body(self, stream: HttpStream, data: bytes) -> bytes | None:
        request, body = stream.request, stream.body
        if request is None or body is None:
            return data
        rest = body.receive_data(data)
        if stream.may_be_large:
            self._grow(stream, len(data))
        if stream.intake is not None:
            self._feed(stream, stream.intake, body.take(), rest is not None)
        elif rest is not None:
            stream.request = stream.body = None
            self._begin(stream, request, body.take())
        return rest

    def _begin_early(self, stream: HttpStream, request: Request) -> bool:
        """Give a request to whoever wants it before its body is there."""
        stream.busy, stream.keep_alive = True, request.keep_alive
        intake = self.begin(stream, request) if self.begin is not None else None
        if intake is None:
            stream.busy = False
            return False
        if request.length == 0:
            intake.feed(b"", True)
        else:
            stream.request, stream.body = request, body_of(request, ANY_SIZE)
            stream.intake, stream.since, stream.got = intake, self._wheel.now, 0
        return True

    def _feed(self, stream: HttpStream, intake: Intake, part: bytes, whole: bool) -> None:
        stream.got += len(part)
        if stream.got >= PROGRESS:
            stream.since, stream.got = self._wheel.now, 0
        if whole:
            stream.request = stream.body = stream.intake = None
        intake.feed(part, whole)
        if intake.full and not whole:
            self._reactor.hold(stream)

    def go_on(self, stream: HttpStream) -> None:
        """The intake is no longer full: read on."""
        stream.since = self._wheel.now
        self._reactor.release(stream)

    def _begin(self, stream: HttpStream, request: Request, body: bytes) -> None:
        stream.busy = True
        stream.keep_alive = request.keep_alive
        try:
            self.handle(stream, request, body)
        except HTTPError as error:
            self.answer(stream, self.error_response(error, request))

    # Responses

    def _explained(self, request: Request | None, error: HTTPError) -> tuple[list[Field], bytes]:
        """The header fields and the body; of a field that both say, what the explanation does."""
        explained = self.explain(request, error)
        fields, body = explained or _in_text(error)
        fields = [*self.date(), *fields]
        said = {name for name, _ in fields}
        fields += [field for field in error.fields if field[0] not in said]
        if explained is None and request and all(name != ALLOWS for name, _ in fields):
            fields += self.cors(request)
        return fields, body

    def error_response(self, error: HTTPError, request: Request) -> bytes:
        """The answer to a request that cannot be served."""
        fields, body = self._explained(request, error)
        return response(
            error.status,
            [*fields, *keep_field(request)],
            body,
            head_only=request.method == "HEAD",
            close=not request.keep_alive,
        )

    def send(self, stream: HttpStream, data: bytes) -> None:
        """Bytes to a stream, at the end of this turn or when the client takes them."""
        if stream.backlog is None:
            stream.since = self._wheel.now  # it has taken all there was
        self.out.send(stream, data)

    def answer(self, stream: HttpStream, data: bytes) -> None:
        """The whole response to the request that the stream is busy with; then its next request."""
        self.send(stream, data)
        self.done(stream)

    def done(self, stream: HttpStream) -> None:
        """The response is complete."""
        stream.busy, stream.since = False, self._wheel.now
        stream.on_abort = stream.on_end = None
        self._lighten(stream)
        if stream.body is not None:  # answered before its body was read: what comes is not a head
            stream.request = stream.body = stream.intake = None
            stream.keep_alive = False
        if not stream.keep_alive:
            self.leave(stream)
        elif stream.buffer and stream.backlog is None:
            self._loop.defer(lambda: self._next(stream))

    def _next(self, stream: HttpStream) -> None:
        try:
            self._go_on(stream)
        except Exception:
            log.exception("internal error over a request")
            self.cut(stream)

    def _go_on(self, stream: HttpStream) -> None:
        if stream.buffer and self._is_free(stream):
            data, stream.buffer = stream.buffer, b""
            self._reactor.release(stream)
            self._advance(stream, data)

    def leave(self, stream: HttpStream) -> None:
        """Close it once everything is sent."""
        stream.leaving, stream.buffer = True, b""
        self.out.release(stream)
        if stream.backlog is None:
            self._linger.part(stream)

    def refuse(self, stream: HttpStream, error: HTTPError) -> None:
        """A request that cannot be read on from: say why and close."""
        fields, body = self._explained(stream.request, error)
        stream.request = stream.body = stream.intake = None
        self._lighten(stream)
        self.send(stream, response(error.status, fields, body, close=True))
        self._abort(stream)
        self.leave(stream)


def _too_long(data: bytes) -> HTTPError:
    if data.find(b"\r\n", 0, MAX_HEAD) < 0:
        return HTTPError(414, f"the request target is over {MAX_HEAD} bytes")
    return HTTPError(431, f"the request head is over {MAX_HEAD} bytes")


def _in_text(error: HTTPError) -> tuple[Iterable[Field], bytes]:
    return (_TEXT,), f"{error}\n".encode()


def _plainly(request: Request | None, error: HTTPError) -> None:
    """In plain text."""


def _for_nobody(request: Request) -> tuple[Field, ...]:
    return ()


def _no_upgrade(stream: HttpStream, request: Request, rest: bytes) -> bool:
    return False


def _nothing_here(stream: HttpStream, request: Request, body: bytes) -> None:
    raise HTTPError(404, "not found")
