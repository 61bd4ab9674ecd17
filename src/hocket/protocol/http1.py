"""HTTP/1.1 (RFC 9110, RFC 9112) as far as our own paths need it: request heads, bodies, responses.

`httptools` (llhttp) reads the head; it is lenient where a proxy in front may read the same bytes
otherwise, so these checks are ours, each a known way to smuggle a request or to hold a server up:

- every line ends in CRLF, no bare CR or LF anywhere in the head (RFC 9112 section 2.2);
- exactly one Host on HTTP/1.1, and it looks like one (section 3.2);
- at most one Content-Length, digits only, never beside Transfer-Encoding (section 6.3);
- Transfer-Encoding is exactly `chunked`, and not on HTTP/1.0 (section 6.1);
- a head is at most `MAX_HEAD` bytes and `MAX_FIELDS` fields, a body at most what the caller allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import httptools

from hocket.errors import HTTPError
from hocket.protocol.pieces import Pieces

MAX_HEAD: Final = 16_384
MAX_FIELDS: Final = 100
HEAD_END: Final = b"\r\n\r\n"

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+;=%:\[\]-]+")
_PORT: Final = 5  # digits of a port
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ ")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*")  # RFC 9112 section 7.1.2
_ABSOLUTE = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)
_STATUS_LINES: Final[dict[int, bytes]] = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_MAX_SIZE_LINE = 256
_MAX_TRAILER = 8_192


Field = tuple[bytes, bytes]


class Request:
    """A request head that passed every check.

    Header names are lower case. `upgrade`: whether it asks for a WebSocket; one with a body may be
    answered as if it did not (RFC 9110 section 7.8). `length` is the body's length, None when it is
    chunked. `head` is the head as it came. `notes`: what was found out from it, for all requests
    that are the same `again`.
    """

    __slots__ = (
        "_fields", "_params", "_replaced", "_value", "_values", "chunked", "expects", "head",
        "host", "keep_alive", "length", "method", "notes", "path", "query", "upgrade", "version",
    )  # fmt: skip

    def __init__(self, head: bytes, method: str, version: str, fields: list[Field]) -> None:
        self.head = head
        self.method = method
        self.version = version
        self._fields = fields
        self._replaced = self._value = b""
        self._values = dict(fields)
        if len(self._values) < len(fields):
            self._values = _joined(fields)
        self.host = self.get(b"host")
        self.path = self.query = ""
        self._params: Mapping[str, str] | None = None
        self.length: int | None = 0
        self.chunked = self.expects = self.upgrade = False
        self.keep_alive = True
        self.notes: dict[str, Any] = {}

    @property
    def fields(self) -> list[Field]:
        """All header fields, in order."""
        if not self._replaced:
            return self._fields
        return [
            field if field[0] != self._replaced else (self._replaced, self._value)
            for field in self._fields
        ]

    def get(self, name: bytes) -> bytes:
        """The values of a field, joined by commas (RFC 9110 section 5.3); empty without it."""
        return self._value if name == self._replaced else self._values.get(name, b"")

    def has(self, name: bytes) -> bool:
        return name in self._values

    def set_host(self, host: bytes) -> None:
        """In place of what Host says, for whoever reads that field too."""
        self.host = self._values[b"host"] = host
        others = [field for field in self._fields if field[0] != b"host"]
        self._fields = [(b"host", host), *others]

    def again(self, head: bytes, name: bytes, value: bytes) -> Request:
        """The same request, come as `head`, where `value` is what the field `name` says."""
        request: Request = Request.__new__(Request)
        request.head = head
        request._fields, request._values, request._params = self._fields, self._values, self._params
        request._replaced, request._value, request.notes = name, value, self.notes
        request.method, request.version, request.host = self.method, self.version, self.host
        request.path, request.query = self.path, self.query
        request.length, request.chunked, request.expects = self.length, self.chunked, self.expects
        request.upgrade, request.keep_alive = self.upgrade, self.keep_alive
        return request

    def params(self) -> Mapping[str, str]:
        """The query's parameters; of a repeated one the last. Raises HTTPError for over 100."""
        if self._params is None:
            self._params = self._parse_query()
        return self._params

    def _parse_query(self) -> dict[str, str]:
        query = self.query
        if not query:
            return {}
        if "%" not in query and "+" not in query:  # as nearly always; parse_qsl takes 10 us
            pairs = [pair.partition("=") for pair in query.split("&", 101) if pair]
            if len(pairs) > 100:
                raise HTTPError(400, "over 100 query parameters")
            return {name: value for name, _, value in pairs}
        try:
            return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise HTTPError(400, "over 100 query parameters") from None


def _joined(fields: list[Field]) -> dict[bytes, bytes]:
    values: dict[bytes, bytes] = {}
    for name, value in fields:
        values[name] = value if name not in values else values[name] + b"," + value
    return values


class _Sink:
    """What httptools calls while it reads a head.

    It asks for every callback by name; one that is missing costs it an AttributeError, 0.4 us each.
    """

    __slots__ = ("fields", "target")

    on_message_begin = on_status = on_headers_complete = on_body = on_message_complete = None
    on_chunk_header = on_chunk_complete = None

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[Field] = []

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def parse_head(head: bytes) -> Request:
    """A whole head, up to and with its empty line, to a Request; raises HTTPError with the status
    to answer.
    """
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise HTTPError(400, "a line does not end in CRLF")
    if lines > MAX_FIELDS + 2:
        raise HTTPError(431, f"over {MAX_FIELDS} header fields")
    sink = _Sink()
    parser = httptools.HttpRequestParser(sink)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        if _METHOD.match(head):
            raise HTTPError(501, "no such method here") from None
        raise HTTPError(400, "bad request line") from None
    except httptools.HttpParserError as error:
        raise HTTPError(400, f"bad request head: {error}"[:120]) from None
    version = parser.get_http_version()
    if version not in ("1.1", "1.0") or b" HTTP/" not in head[: head.index(b"\r\n")]:
        raise HTTPError(505, "only HTTP/1.0 and HTTP/1.1")
    request = Request(head, parser.get_method().decode(), version, sink.fields)
    authority = _set_target(request, sink.target)
    _check_host(request)
    if authority:
        request.set_host(authority)
    _set_length(request)
    if request.has(b"expect"):
        said = request.get(
            b"expect"
        ).lower()  # RFC 9110 section 10.1.1: in HTTP/1.0 it says nothing
        request.expects = said == b"100-continue" and version == "1.1"
    _set_connection(request, request.get(b"connection").lower())
    return request


def _set_connection(request: Request, connection: bytes) -> None:
    """What the peer wants of the connection (RFC 9110 section 7.6.1, RFC 9112 section 9.3)."""
    request.keep_alive = request.version == "1.1"
    if connection:
        options = [option.strip() for option in connection.split(b",")]
        request.keep_alive = b"close" not in options and (
            request.keep_alive or b"keep-alive" in options
        )
        asks = b"upgrade" in options and request.get(b"upgrade").lower() == b"websocket"
        request.upgrade = asks and request.length == 0


def _set_target(request: Request, target: bytes) -> bytes:
    """Origin form, or absolute form with the authority cut off, which is returned: it counts, and
    not what Host says (RFC 9112 section 3.2).
    """
    authority = b""
    try:
        text = target.decode("ascii")
    except UnicodeDecodeError:
        raise HTTPError(400, "the request target is not ASCII") from None
    if not text.startswith("/") and (match := _ABSOLUTE.match(text)):
        authority, text = match[1].encode(), text[match.end() :]
        text = text if text.startswith("/") else "/" + text
    if not text.startswith("/") and not (text == "*" and request.method == "OPTIONS"):
        raise HTTPError(400, "the request target is not a path")
    request.path, _, request.query = text.partition("?")
    if authority and not _is_host(authority):
        raise HTTPError(400, "the request target has no valid host")
    return authority


def _check_host(request: Request) -> None:
    """Exactly one, and it looks like one; HTTP/1.0 may go without (RFC 9112 section 3.2).

    Two of them are joined by a comma here, which `_HOST` does not match.
    """
    if not request.has(b"host") and request.version == "1.0":
        return
    if not _is_host(request.host):
        raise HTTPError(400, "exactly one valid Host is needed")


def _is_host(text: bytes) -> bool:
    port = text.rpartition(b":")[2]
    fits = not port.isdigit() or port == text or (len(port) <= _PORT and int(port) < 1 << 16)
    return fits and _HOST.fullmatch(text) is not None


def _set_length(request: Request) -> None:
    """Where the message ends (RFC 9112 section 6.3). Doubled fields are joined by a comma here,
    which neither check lets pass.
    """
    if request.has(b"transfer-encoding"):
        alone = not request.has(b"content-length") and request.version == "1.1"
        if not alone or request.get(b"transfer-encoding").strip().lower() != b"chunked":
            raise HTTPError(400, "Transfer-Encoding may only be chunked, alone, on HTTP/1.1")
        request.chunked, request.length = True, None
    elif request.has(b"content-length"):
        length = request.get(b"content-length")
        if not length.isdigit() or len(length) > 15:
            raise HTTPError(400, "exactly one Content-Length, digits only")
        request.length = int(length)


class Body(Protocol):
    """A request body on its way: `receive_data` returns None until it is whole, then what came
    behind it.
    """

    def receive_data(self, data: bytes) -> bytes | None: ...
    def take(self) -> bytes:
        """What has come and was not taken yet."""


def body_of(request: Request, max_size: int) -> Body:
    """The reader for a request's body; raises HTTPError 413 when it announces more than `max_size`
    bytes.
    """
    if request.length is None:
        return ChunkedBody(max_size)
    if request.length > max_size:
        raise HTTPError(413, f"the body is over {max_size} bytes")
    return FixedBody(request.length)


class FixedBody:
    """A body with a Content-Length (RFC 9112 section 6.2)."""

    __slots__ = ("_left", "_pieces")

    def __init__(self, length: int) -> None:
        self._left = length
        self._pieces = Pieces()

    def receive_data(self, data: bytes) -> bytes | None:
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        self._pieces.add(part)
        return None if self._left else rest

    def take(self) -> bytes:
        return self._pieces.take()


class ChunkedBody:
    """A chunked body (RFC 9112 section 7.1). Chunk extensions and trailers are read within limits
    and dropped.

    `_left`: bytes until the end of the chunk and its CRLF; 0: a size line comes next; -1: the
    trailers.
    """

    __slots__ = ("_buffer", "_left", "_max_size", "_pieces", "_size", "_trailer")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._pieces = Pieces()
        self._left = self._size = self._trailer = 0

    def receive_data(self, data: bytes) -> bytes | None:
        self._buffer += data
        while True:
            if self._left > 0:
                if not self._take_chunk():
                    return None
            elif (line := self._take_line()) is None:
                return None
            elif self._left == 0:
                self._start_chunk(line)
            elif not line:
                return bytes(self._buffer)
            elif not _TRAILER.fullmatch(line):
                raise HTTPError(400, "bad trailer")

    def take(self) -> bytes:
        return self._pieces.take()

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        limit = _MAX_SIZE_LINE if self._left == 0 else _MAX_TRAILER
        if end > limit or (end < 0 and len(self._buffer) > limit + 1):
            raise HTTPError(400, "a chunk's size line or a trailer is too long")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._left < 0:
            self._trailer += end + 2
            if self._trailer > _MAX_TRAILER:
                raise HTTPError(400, "the trailers are too long")
        return line

    def _start_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise HTTPError(400, "bad chunk size")
        size = int(match[1], 16)
        self._size += size
        if self._size > self._max_size:
            raise HTTPError(413, f"the body is over {self._max_size} bytes")
        self._left = size + 2 if size else -1

    def _take_chunk(self) -> bool:
        """Move what is there of the chunk to the body; False until its CRLF has come."""
        data = self._left - 2
        if data > 0 and self._buffer:
            part = bytes(self._buffer[:data])
            del self._buffer[: len(part)]
            self._pieces.add(part)
            self._left -= len(part)
        if self._left > 2 or len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise HTTPError(400, "a chunk does not end in CRLF")
        del self._buffer[:2]
        self._left = 0
        return True


class Headers(Mapping[str, str]):
    """The fields of a head by case-insensitive name, read when somebody asks. Of a repeated field
    the values are joined by commas.

    Args:
        head: a head that `parse_head` accepted, or nothing.
    """

    __slots__ = ("_fields",)

    def __init__(self, head: bytes) -> None:
        self._fields: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                name, value = name.lower(), value.strip(" \t")
                before = self._fields.get(name)
                joint = "; " if name == "cookie" else ", "
                self._fields[name] = value if before is None else before + joint + value

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({self._fields})"


def response_head(status: int, fields: Iterable[Field] = (), close: bool = False) -> bytes:
    """A response up to its empty line."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
    return line + header_lines(fields) + (b"connection: close\r\n\r\n" if close else b"\r\n")


def header_lines(fields: Iterable[Field]) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def response(
    status: int,
    fields: Iterable[Field] = (),
    body: bytes = b"",
    *,
    head_only: bool = False,
    close: bool = False,
) -> bytes:
    """A whole response. `head_only` for HEAD; without a body for 1xx, 204 and 304 (RFC 9110
    sections 15.2, 15.3.5, 15.4.5).
    """
    if status < 200 or status in (204, 304):
        return response_head(status, fields, close)
    head = response_head(status, [*fields, (b"content-length", b"%d" % len(body))], close)
    return head if head_only else head + body


def keep_field(request: Request) -> tuple[Field, ...]:
    """What a client of HTTP/1.0 that wants to keep its connection must be told (RFC 9112 section
    9.3); to others it is clear.
    """
    return _KEPT if request.version == "1.0" and request.keep_alive else ()


_KEPT: Final = ((b"connection", b"keep-alive"),)
CONTINUE: Final = response(100)
