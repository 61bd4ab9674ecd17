"""ASGI applications on HTTP streams: one Exchange is one request and its response (ASGI HTTP
specification, versions 2.3 and 2.4).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from hocket.errors import HTTPError
from hocket.protocol.http1 import CONTINUE, Field, Request, keep_field, response_head
from hocket.transport.http import HttpTransport
from hocket.transport.reactor import peer_of
from hocket.transport.refusals import refusal_of
from hocket.transport.stream import HttpStream

log = logging.getLogger("hocket")

QUEUE: Final = 65_536  # bytes of a request body that wait for the application
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BROKEN = re.compile(rb"[\r\n\0]")
# Between this server and its peer; the application has no say in them (RFC 9110 section 7.6.1).
_HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
AsgiApp = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def scope_of(stream: HttpStream, request: Request, root_path: str = "") -> dict[str, Any]:
    """What an application is told of a request (the specification's "HTTP Connection Scope").

    With 2.4, Starlette hears of a client that has left when it sends the next time, so that a feed
    that waits for its next event would live for ever; with 2.3 it asks `receive`, and would lose
    what it reads of a body there.
    """
    host, _, port = request.host.decode("latin-1").rpartition(":")
    if not port.isdigit():
        host, port = request.host.decode("latin-1"), "443" if stream.secure else "80"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3" if request.length == 0 else "2.4"},
        "http_version": request.version,
        "method": request.method,
        "scheme": "https" if stream.secure else "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode(),
        "query_string": request.query.encode(),
        "root_path": root_path,
        "headers": list(request.fields),  # the request may be remembered and shared
        "client": (stream.address, _port(stream)),
        "server": (host, int(port)),
    }


def _port(stream: HttpStream) -> int:
    """The client's, if it is the peer; else 0: proxies do not tell it."""
    address, port = peer_of(stream.fd)
    return port if address == stream.address else 0


class Exchange:
    """A request, its response, and the application between them.

    Args:
        http: the stream's transport.
        stream: where the response goes.
        date: gives the Date field, for responses without one.
    """

    __slots__ = (
        "_awaited", "_chunked", "_complete", "_date", "_gone", "_http", "_left", "_parts",
        "_request", "_silent", "_size", "_start", "_started", "_stream", "_told", "_waiting",
        "_whole",
    )  # fmt: skip

    def __init__(
        self, http: HttpTransport, stream: HttpStream, request: Request, date: Callable[[], Field]
    ) -> None:
        self._http = http
        self._stream = stream
        self._request = request
        self._date = date
        self._parts: list[bytes] = []
        self._size = 0
        self._whole = self._told = self._gone = False
        self._started = self._complete = self._chunked = self._silent = False
        self._awaited = request.expects  # the client waits to be told that its body is wanted
        self._start: tuple[int, list[Field]] | None = None  # a response's, until its body begins
        self._left: int | None = None
        self._waiting: asyncio.Event | None = None  # of all that wait in `receive`
        stream.on_abort, stream.on_end = self._abort, self._wake

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        """Call the application. What it raises is logged, and the client gets a 500 or a broken
        connection; Starlette's HTTPException is the answer that it stands for, because parts such
        as StaticFiles raise it where no Starlette application is around them.
        """
        answer = HTTPError(500, "internal error")
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            refusal = None if self._started else refusal_of(error)
            answer = refusal or answer
            if refusal is None and not self._gone:
                log.exception("an application failed", extra={"path": self._request.path})
        except BaseException:
            self._give_up(answer)
            raise
        if not self._complete and not self._gone:
            self._give_up(answer)

    def _give_up(self, error: HTTPError) -> None:
        """The application has ended and its response has not."""
        if self._started:
            self._complete = True
            self._http.cut(self._stream)  # that is all that still can be said
        elif self._stream.busy:
            self._complete = True
            self._http.answer(self._stream, self._http.error_response(error, self._request))

    # The request's body

    @property
    def full(self) -> bool:
        return self._size >= QUEUE

    @property
    def has_begun(self) -> bool:
        return self._started

    def feed(self, part: bytes, whole: bool) -> None:
        self._awaited = False
        if part:
            self._parts.append(part)
            self._size += len(part)
        self._whole = whole
        self._wake()

    def _abort(self) -> None:
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set()

    async def receive(self) -> Message:
        """The application's `receive`. A client that says no more may still listen for the answer:
        whoever asks for more than the request takes it for gone, which most are.
        """
        if self._awaited and not self._started:
            self._awaited = False
            self._http.send(self._stream, CONTINUE)
        while not (self._parts or self._gone or self._complete or (self._whole and not self._told)):
            if self._whole and self._stream.ending:
                self._http.cut(self._stream)
                break
            if self._waiting is None:
                self._waiting = asyncio.Event()
            await self._waiting.wait()
        if self._gone or self._complete:
            return {"type": "http.disconnect"}
        parts, self._parts = self._parts, []
        was_full, self._size = self.full, 0
        self._told = self._whole
        if was_full:
            self._http.go_on(self._stream)
        return {"type": "http.request", "body": b"".join(parts), "more_body": not self._whole}

    # The response

    async def send(self, message: Message) -> None:
        """The application's `send`. Raises ConnectionError when the client has gone."""
        if self._gone:
            raise ConnectionError("the client has gone")
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = int(message["status"]), checked_fields(message.get("headers", ()))
        elif kind == "http.response.body" and self._start is not None and not self._complete:
            part, more = message.get("body", b""), bool(message.get("more_body"))
            if not self._started:
                self._begin(*self._start, None if more else len(part))
            self._body(part, more)
            if not self._complete:
                await self._http.out.room(self._stream)
        else:
            raise RuntimeError(f"{kind!r} cannot come here in a response")

    def _begin(self, status: int, fields: list[Field], size: int | None) -> None:
        """Send the head: with the first part of the body, as the specification asks. What is whole
        by then has its `size` told.
        """
        request, stream = self._request, self._stream
        names = {name for name, _ in fields}
        kept = [field for field in fields if field[0] not in _HOP_BY_HOP]
        if any(name == b"connection" and value.lower() == b"close" for name, value in fields):
            stream.keep_alive = False
        if size is not None and not self._whole:  # the rest of the request will not be read
            stream.keep_alive = False
        if b"date" not in names:
            kept.append(self._date())
        self._silent = request.method == "HEAD" or status < 200 or status in (204, 304)
        if status < 200 or status == 204:  # RFC 9110 section 8.6
            kept = [field for field in kept if field[0] != b"content-length"]
        elif b"content-length" in names:
            self._left = None if self._silent else _length(kept)
        elif self._silent:
            pass
        elif size is not None:
            kept.append((b"content-length", b"%d" % size))
        elif request.version == "1.1":
            self._chunked = True
            kept.append((b"transfer-encoding", b"chunked"))
        else:
            stream.keep_alive = False  # to HTTP/1.0 the end of the connection is the end
        if stream.keep_alive:
            kept += keep_field(request)
        self._started = True
        self._http.send(stream, response_head(status, kept, close=not stream.keep_alive))

    def _body(self, part: bytes, more: bool) -> None:
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0:
                raise RuntimeError("the response is longer than its Content-Length")
            if not more and self._left:
                raise RuntimeError("the response is shorter than its Content-Length")
        if self._silent:
            part = b""
        elif self._chunked:
            part = chunk(part, more)
        if part:
            self._http.send(self._stream, part)
        if not more:
            self._complete = True
            self._wake()
            self._http.done(self._stream)


def checked_fields(given: Iterable[Field]) -> list[Field]:
    """Header fields of an application, with lower-case names. Raises ValueError for one that would
    break the response (RFC 9110 section 5.5).
    """
    fields = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in given]
    for name, value in fields:
        if not _TOKEN.fullmatch(name) or _BROKEN.search(value):
            raise ValueError(f"{name!r} is no valid header field: {value[:40]!r}")
    return fields


def _length(fields: list[Field]) -> int:
    value = dict(fields)[b"content-length"]
    if not value.isdigit():
        raise ValueError(f"{value!r} is no Content-Length")
    return int(value)


def chunk(part: bytes, more: bool) -> bytes:
    """A chunk, and the last one behind it if no more come (RFC 9112 section 7.1)."""
    return (b"%x\r\n%b\r\n" % (len(part), part) if part else b"") + (b"" if more else b"0\r\n\r\n")
