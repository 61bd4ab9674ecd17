"""The rules that the protocol files state at their heads, one by one."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest

from hocket.errors import HTTPError, PacketError
from hocket.protocol import engineio, http1, socketio, websocket
from hocket.protocol.pieces import SMALL, Pieces
from tests.unit.protocol.test_any_bytes import framed, received

TEXT, BINARY, CONTINUATION = websocket.TEXT, websocket.BINARY, websocket.CONTINUATION
NOW = datetime(2026, 1, 2, tzinfo=UTC)

# WebSocket


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\xc1\x80abcd", 1002),  # RSV1
        (b"\xa1\x80abcd", 1002),  # RSV2
        (b"\x91\x80abcd", 1002),  # RSV3
        (framed(3, b""), 1002),
        (framed(11, b""), 1002),
        (b"\x81\x02hi", 1002),  # not masked
        (framed(websocket.PING, b"", fin=False), 1002),
        (framed(websocket.PING, b"x" * 126), 1002),
        (framed(CONTINUATION, b"x"), 1002),
        (framed(TEXT, b"a", fin=False) + framed(TEXT, b"b"), 1002),
        (framed(TEXT, b"\xff"), 1007),
        (framed(TEXT, b"\xc3", fin=False) + framed(CONTINUATION, b"\x28", fin=False), 1007),
        (framed(TEXT, b"\xc3"), 1007),
        (b"\x81\xfe\xff\xff", 1009),  # announced: its bytes never come
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big"), 1009),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1002),
        (framed(TEXT, b"x" * 600, fin=False) + framed(CONTINUATION, b"x" * 600), 1009),
        (framed(websocket.CLOSE, b"\x03"), 1002),
        (framed(websocket.CLOSE, b"\x03\xe8\xff"), 1007),
    ],
)
def test_what_breaks_rfc_6455_is_refused_with_its_code(wire: bytes, code: int) -> None:
    assert received([wire])[-1] == ("closed", code)


@pytest.mark.parametrize(
    "code", [*range(990, 1020), 1100, 2999, 3000, 3999, 4000, 4999, 5000, 65535]
)
def test_close_codes(code: int) -> None:
    wire = framed(websocket.CLOSE, code.to_bytes(2, "big") + b"bye")
    allowed = 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))
    last = received([wire])[-1]
    assert last == ((websocket.CLOSE, wire_payload(code)) if allowed else ("closed", 1002))


def wire_payload(code: int) -> bytes:
    return code.to_bytes(2, "big") + b"bye"


def test_text_may_be_cut_inside_a_character() -> None:
    whole = "né🍰".encode()
    for at in range(len(whole)):
        wire = framed(TEXT, whole[:at], fin=False) + framed(CONTINUATION, whole[at:])
        assert received([wire]) == [(TEXT, whole)]


def test_a_flood_of_empty_fragments_keeps_nothing() -> None:
    receiver = websocket.Receiver(10)
    receiver.receive_data(framed(TEXT, b"", fin=False))
    for _ in range(1_000):
        receiver.receive_data(framed(CONTINUATION, b"", fin=False))
        assert list(receiver.events()) == []
    assert receiver.kept()[3] == []


@pytest.mark.parametrize("order", [1, -1])
def test_pieces_of_any_size_come_out_as_one(order: int) -> None:
    given = [bytes([at]) * size for at, size in enumerate((SMALL, 0, 1, 2, SMALL, 3, SMALL - 1, 4))]
    pieces, whole = Pieces(), b"".join(given[::order])
    for piece in given[::order]:
        pieces.add(piece)
    assert pieces.size == len(whole)
    assert b"".join(pieces.kept()) == whole
    assert (pieces.take(), pieces.size, pieces.take()) == (whole, 0, b"")


PIECES = 10_000


def memory_of(feed: Callable[[bytes], object]) -> int:
    """Bytes that are kept of many pieces, 2 bytes each."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(PIECES):
            feed(b"%02d" % (number % 100))
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_a_message_in_small_fragments_takes_no_more_memory_than_it_is_long() -> None:
    receiver = websocket.Receiver(1 << 20)
    receiver.receive_data(framed(TEXT, b"", fin=False))

    def feed(piece: bytes) -> None:
        receiver.receive_data(framed(CONTINUATION, piece, fin=False))
        assert list(receiver.events()) == []

    assert memory_of(feed) < 3 * 2 * PIECES
    other = websocket.Receiver(1 << 20)
    other.go_on(*receiver.kept())
    other.receive_data(framed(CONTINUATION, b"end"))
    whole = b"".join(b"%02d" % (number % 100) for number in range(PIECES)) + b"end"
    assert list(other.events()) == [(TEXT, whole)]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "with a length"])
def test_a_body_in_small_pieces_takes_no_more_memory_than_it_is_long(chunked: bool) -> None:
    body: http1.Body = http1.ChunkedBody(1 << 20) if chunked else http1.FixedBody(2 * PIECES + 1)
    kept = memory_of(lambda piece: body.receive_data(b"2\r\n%b\r\n" % piece if chunked else piece))
    assert kept < 3 * 2 * PIECES
    assert body.take() == b"".join(b"%02d" % (number % 100) for number in range(PIECES))


def test_every_length_form_is_read_and_written() -> None:
    for size in (0, 1, 125, 126, 127, 65_535, 65_536):
        payload = b"x" * size
        assert received([framed(BINARY, payload)], limit=1 << 20) == [(BINARY, payload)]
        frame = websocket.frame(BINARY, payload)
        assert frame.endswith(payload)
        assert len(frame) - size == (2 if size < 126 else 4 if size < 65_536 else 10)


def test_the_accept_token_is_the_one_of_the_rfc() -> None:
    assert websocket.accept_token(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", [b"", b"x" * 24, b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZQ=="])
def test_a_key_is_the_base64_of_16_bytes(key: bytes) -> None:
    assert not websocket.is_key(key)


def test_a_close_reason_is_cut_to_what_a_control_frame_holds() -> None:
    frame = websocket.close_frame(1000, "é" * 100)
    assert len(frame) <= 127
    assert frame[4:].decode() == "é" * 61


# HTTP

CHUNKED = b"Transfer-Encoding: chunked"


def head(line: bytes, *fields: bytes) -> bytes:
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head(b"GET / HTTP/1.1"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a", b"Host: b"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a", b"Host: a"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a b"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a/b"), 400),
        (head(b"GET / HTTP/1.1", b"Host:"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 4", b"Content-Length: 4"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 4", b"Content-Length: 5"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 4, 4"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: +4"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: -4"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 0x4"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: " + b"9" * 20), 400),
        (
            head(
                b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 4", b"Transfer-Encoding: chunked"
            ),
            400,
        ),
        (
            head(
                b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 4"
            ),
            400,
        ),
        (head(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: gzip, chunked"), 400),
        (head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: xchunked"), 400),
        (
            head(
                b"POST / HTTP/1.1",
                b"Host: a",
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: identity",
            ),
            400,
        ),
        (head(b"GET / HTTP/1.1", b"Host : a"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a", b" folded: b"), 400),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
        (head(b"GET / HTTP/2.0", b"Host: a"), 505),
        (head(b"GET a HTTP/1.1", b"Host: a"), 400),
        (head(b"GET * HTTP/1.1", b"Host: a"), 400),
        (head(b"CONNECT a:1 HTTP/1.1", b"Host: a"), 400),
        (head(b"BREW / HTTP/1.1", b"Host: a"), 501),
        (head(b"get / HTTP/1.1", b"Host: a"), 501),
        (head(b"\x16\x03\x01 / HTTP/1.1", b"Host: a"), 400),
        (head(b"GET http://a@b/ HTTP/1.1", b"Host: a"), 400),
        (head(b"GET /\xff HTTP/1.1", b"Host: a"), 400),
        (head(b"GET / HTTP/1.1", b"Host: a", *[b"X: y"] * 101), 431),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(
    request_head: bytes, status: int
) -> None:
    with pytest.raises(HTTPError) as caught:
        http1.parse_head(request_head)
    assert caught.value.status == status


def test_the_host_of_an_absolute_target_counts() -> None:
    request = http1.parse_head(head(b"GET http://b:1/p HTTP/1.1", b"Host: a"))
    assert (request.host, request.path) == (b"b:1", "/p")


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_whoever_reads_the_host_field_is_told_the_host_of_an_absolute_target(
    version: bytes,
) -> None:
    """RFC 9112 section 3.2.2: an application that looks at it takes no other host than we do."""
    said = [b"A: 1", b"Host: a"] if version == b"1.1" else [b"A: 1"]
    request = http1.parse_head(head(b"GET HTTP://b:1/p HTTP/" + version, *said))
    assert request.fields == [(b"host", b"b:1"), (b"a", b"1")]
    assert (request.get(b"host"), request.host) == (b"b:1", b"b:1")


def test_a_request_head_is_understood() -> None:
    request = http1.parse_head(
        head(
            b"GET http://a:1/p?x=1&y=%41+b&x=2&z HTTP/1.1",
            b"Host: a:1",
            b"Cookie: a=b",
            b"cookie: c=d",
            b"Connection: keep-alive, Upgrade",
            b"Upgrade: WebSocket",
        )
    )
    assert (request.path, request.query) == ("/p", "x=1&y=%41+b&x=2&z")
    assert request.params() == {"x": "2", "y": "A b", "z": ""}
    assert request.get(b"cookie") == b"a=b,c=d"
    assert request.upgrade
    assert request.keep_alive
    assert request.length == 0
    assert http1.Headers(request.head)["COOKIE"] == "a=b; c=d"


@pytest.mark.parametrize(
    ("line", "field", "keeps"),
    [
        (b"GET / HTTP/1.1", b"X: y", True),
        (b"GET / HTTP/1.1", b"Connection: close", False),
        (b"GET / HTTP/1.0", b"X: y", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive", True),
    ],
)
def test_keep_alive(line: bytes, field: bytes, keeps: bool) -> None:
    assert http1.parse_head(head(line, b"Host: a", field)).keep_alive is keeps


def test_a_query_has_at_most_100_parameters() -> None:
    for query in (b"a&" * 101, b"a=%41&" * 101):
        request = http1.parse_head(head(b"GET /?" + query + b" HTTP/1.1", b"Host: a"))
        with pytest.raises(HTTPError):
            request.params()


def test_a_body_over_the_limit_is_refused_when_it_is_announced() -> None:
    request = http1.parse_head(head(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 11"))
    with pytest.raises(HTTPError) as caught:
        http1.body_of(request, 10)
    assert caught.value.status == 413
    request = http1.parse_head(head(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked"))
    with pytest.raises(HTTPError) as caught:
        http1.body_of(request, 10).receive_data(b"b\r\n")
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "wire",
    [
        b"g\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1 1\r\n",
        b"1\r\nab\r\n",
        b"1\r\nabc",
        b"1" * 16 + b"\r\n",
        b"1;" + b"x" * 300,
        b"0\r\n" + b"x" * 9_000,
        b"0\r\n" + b"a: b\r\n" * 2_000,
    ],
)
def test_bad_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(HTTPError):
        http1.ChunkedBody(1_000).receive_data(wire)


def test_responses() -> None:
    assert http1.response(200, [(b"x", b"y")], b"hi") == (
        b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 2\r\n\r\nhi"
    )
    assert http1.response(200, (), b"hi", head_only=True).endswith(b"content-length: 2\r\n\r\n")
    assert b"content-length" not in http1.response(204, (), b"")
    assert b"connection: close" in http1.response(400, close=True)


# Engine.IO


@pytest.mark.parametrize("state", ["polling", "websocket", "probing"])
@pytest.mark.parametrize(
    "packet", ["0", "1", "2", "2probe", "3", "3probe", "4x", "5", "5x", "6", "7", "", "x"]
)
def test_what_a_client_may_send(state: str, packet: str) -> None:
    allowed = packet in ("2probe", "5") if state == "probing" else packet[:1] in ("1", "3", "4")
    if allowed and packet:
        assert engineio.check_text(packet.encode(), state) == ord(packet[0])
    else:
        with pytest.raises(PacketError):
            engineio.check_text(packet.encode(), state)


def test_a_payload() -> None:
    body = "4né\x1ebAQIDBA==\x1e3".encode()
    assert engineio.split_payload(body, 3) == [
        (False, "4né".encode()),
        (True, b"\x01\x02\x03\x04"),
        (False, b"3"),
    ]


@pytest.mark.parametrize(
    "body", [b"\xff", b"4a\x1e4b\x1e4c\x1e4d", b"bA", b"b!!!!", b"bAQ==AQ==", b"bAQI=\n"]
)
def test_a_bad_payload(body: bytes) -> None:
    with pytest.raises(PacketError):
        engineio.split_payload(body, 3)


def test_the_handshake_is_in_milliseconds() -> None:
    packet = engineio.handshake_template(["websocket"], 0.3, 20.0, 1_000) % b"abc"
    assert packet[:1] == b"0"
    assert msgspec.json.decode(packet[1:]) == {
        "sid": "abc",
        "upgrades": ["websocket"],
        "pingInterval": 300,
        "pingTimeout": 20_000,
        "maxPayload": 1_000,
    }


# Socket.IO


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("40", (0, "/", None, None, 0)),
        ('40{"a":1}', (0, "/", None, {"a": 1}, 0)),
        ("40/chat", (0, "/chat", None, None, 0)),
        ("40/chat,", (0, "/chat", None, None, 0)),
        ('40/chat,{"a":1}', (0, "/chat", None, {"a": 1}, 0)),
        ("41", (1, "/", None, None, 0)),
        ('42["e"]', (2, "/", None, ["e"], 0)),
        ('4212["e",1]', (2, "/", 12, ["e", 1], 0)),
        ('42/chat,12["e",1]', (2, "/chat", 12, ["e", 1], 0)),
        ("437[]", (3, "/", 7, [], 0)),
        (
            '451-["e",{"_placeholder":true,"num":0}]',
            (5, "/", None, ["e", {"_placeholder": True, "num": 0}], 1),
        ),
        ('462-/a,7["e"]', (6, "/a", 7, ["e"], 2)),
        ('450-["e"]', (5, "/", None, ["e"], 0)),
        ("43[1]", (3, "/", None, [1], 0)),
        ("42[5,1]", (2, "/", None, ["5", 1], 0)),
        ("42/n,[-1.50]", (2, "/n", None, ["-1.5"], 0)),
        ("42[2.0]", (2, "/", None, ["2"], 0)),
    ],
)
def test_packets(text: str, expected: tuple[Any, ...]) -> None:
    packet = socketio.decode(text.encode())
    assert (packet.type, packet.namespace, packet.id, packet.data, packet.attachments) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "4abc",
        "47",
        "40[]",
        '40"x"',
        "41{}",
        "42",
        "42{}",
        "42[]",
        "42[true]",
        "42[null]",
        '42abc["e"]',
        '42["e"]x',
        '42["e",NaN]',
        '42["connect"]',
        '42["disconnecting"]',
        "43",
        '44{"message":"x"}',
        '45["e"]',
        '45-["e"]',
        '451000000000-["e"]',
        '4511-["e"]',
        '421-["e"]',
        '42["e"',
        "42[" * 100_000,
        '42["e",' + "[" * 200_000,
        '42["e",' + "[" * 200_000 + "]" * 200_000 + "]",
        '42["e",' + '{"a":' * 200_000,
        '42["\\u0041",' + "[" * 200_000,
        '42["e","\x00"]',
        '421234567890123456["e"]',
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_packet_is_refused(text: str) -> None:
    with pytest.raises(PacketError):
        socketio.decode(text.encode())


def test_a_namespace_is_utf8() -> None:
    with pytest.raises(PacketError):
        socketio.decode(b"40/\x9f\xd3")


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert socketio.decode(b'42["e","a\\ud83d","\\ud83c\\udf70"]').data == ["e", "a\ufffd", "🍰"]


class Item(pydantic.BaseModel):
    name: str
    at: datetime
    picture: bytes | None = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Item(name="a", at=NOW), '{"name":"a","at":"2026-01-02T00:00:00Z","picture":null}'),
        ([{"items": (Item(name="a", at=NOW, picture=b"x"),)}], None),
        (msgspec.Raw(b'{"a":1}'), '{"a":1}'),
        ({"raw": [msgspec.Raw(b'{"a":1}'), b"x"]}, None),
    ],
)
def test_models_and_raw_json_are_what_is_in_them(value: Any, text: str | None) -> None:
    packet = socketio.encode(socketio.EVENT, "/", ["e", value])
    if text is not None:
        assert (packet.text, packet.attachments) == (f'42["e",{text}]'.encode(), [])
    else:
        assert packet.text.startswith(b'451-["e",')
        assert packet.attachments == [b"x"]


@pytest.mark.parametrize("value", [object(), Item, {"a": {object()}}])
def test_what_is_no_value_is_told(value: Any) -> None:
    with pytest.raises(TypeError, match="Encoding objects of type"):
        socketio.encode(socketio.EVENT, "/", ["e", value])


@dataclasses.dataclass
class Picture:
    name: str
    data: bytes


class Struct(msgspec.Struct):
    data: bytes


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        bytearray(b"x"),
        memoryview(b"x"),
        [b"x"],
        (1, (b"x",)),
        {"a": {"b": b"x"}},
        Picture("p", b"x"),
        [Struct(b"x")],
        {"a": [1, Picture("p", b"x")]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_bytes_anywhere_travel_as_attachments(value: Any) -> None:
    packet = socketio.encode(socketio.EVENT, "/", ["e", value])
    assert packet.text.startswith(b'451-["e",')
    assert list(packet.attachments) == [b"x"]


@pytest.mark.parametrize(
    "value", [{1, 2}, frozenset({1}), object()], ids=["set", "frozenset", "object"]
)
def test_values_without_bytes(value: Any) -> None:
    if type(value) is object:
        with pytest.raises(TypeError):
            socketio.encode(socketio.EVENT, "/", ["e", value])
    else:
        assert not socketio.encode(socketio.EVENT, "/", ["e", value]).attachments


@pytest.mark.parametrize("number", ["-1", "1", "true", '"0"', "0.0", "null"])
def test_a_placeholder_without_its_attachment(number: str) -> None:
    packet = socketio.decode(b'451-["e",{"_placeholder":true,"num":%b}]' % number.encode())
    with pytest.raises(PacketError):
        socketio.Assembler(packet).add(b"x")


def test_each_form_is_made_once() -> None:
    packet = socketio.encode(socketio.EVENT, "/chat", ["e", b"\x01"], 5)
    assert packet.form(engineio.POLLING) == (
        b'451-/chat,5["e",{"_placeholder":true,"num":0}]\x1ebAQ=='
    )
    assert packet.form(engineio.POLLING) is packet.form(engineio.POLLING)
    assert packet.form(engineio.WEBSOCKET).endswith(b"\x82\x01\x01")
