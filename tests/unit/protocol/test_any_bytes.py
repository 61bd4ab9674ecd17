"""Every parser, any bytes, in any split: events or a ProtocolError, and the split makes
no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hocket.errors import HTTPError, PacketError, ProtocolError, WebSocketError
from hocket.protocol import engineio, http1, socketio, websocket

settings.register_profile("fast", derandomize=True, deadline=None, max_examples=300)
settings.load_profile("fast")

LIMIT = 1_000


def outcome(parse: Callable[[], Any]) -> Any:
    """What a parser says, errors included; anything but a ProtocolError gets through and fails."""
    try:
        return parse()
    except WebSocketError as error:
        return ("closed", error.code)
    except HTTPError as error:
        return ("status", error.status)
    except PacketError:
        return "bad packet"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)] or [data]


def framed(
    opcode: int, payload: bytes, fin: bool = True, mask: bytes = b"\x01\x02\x03\x04"
) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0xFE]) + size.to_bytes(2, "big")
    else:
        head += bytes([0xFF]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def received(pieces: list[bytes], limit: int = LIMIT) -> list[Any]:
    """Events of a receiver, then its error if there is one."""
    receiver = websocket.Receiver(limit)
    events: list[Any] = []
    try:
        for piece in pieces:
            receiver.receive_data(piece)
            events.extend(receiver.events())
    except WebSocketError as error:
        events.append(("closed", error.code))
    return events


# Frames that are nearly right are worth more than noise.
frames = st.builds(
    framed,
    st.sampled_from([0, 1, 2, 3, 8, 9, 10, 11]),
    st.one_of(st.binary(max_size=140), st.text(max_size=60).map(str.encode)),
    st.booleans(),
)
streams = st.one_of(
    st.binary(max_size=300),
    st.lists(frames, max_size=6).map(b"".join),
    st.tuples(st.lists(frames, max_size=3).map(b"".join), st.binary(max_size=20)).map(b"".join),
)
places = st.lists(st.integers(0, 10_000), max_size=8)


@given(streams, places)
def test_websocket_receiver(data: bytes, places: list[int]) -> None:
    assert received(cut(data, places)) == received([data])


@given(streams)
def test_whole_text_agrees_with_the_receiver(data: bytes) -> None:
    payload = websocket.whole_text(data)
    if payload is not None and payload.isascii():
        assert received([data], limit=1 << 20) == [(websocket.TEXT, payload)]


messages = st.lists(
    st.one_of(
        st.tuples(st.just(websocket.TEXT), st.text(max_size=200).map(str.encode)),
        st.tuples(st.just(websocket.BINARY), st.binary(max_size=400)),
    ),
    max_size=5,
)


@given(messages, st.data())
def test_messages_survive_fragments_and_control_frames_between_them(
    sent: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    wire = b""
    pings = 0
    for opcode, payload in sent:
        parts = cut(payload, data.draw(places)) if payload else [b""]
        for at, part in enumerate(parts):
            wire += framed(opcode if at == 0 else 0, part, fin=at == len(parts) - 1)
            if data.draw(st.booleans()):
                wire += framed(websocket.PING, b"p")
                pings += 1
    events = received(cut(wire, data.draw(places)))
    assert [event for event in events if event[0] != websocket.PING] == sent
    assert len(events) - len(sent) == pings


LINES = [b"GET / HTTP/1.1", b"POST /x?a=%41 HTTP/1.1", b"GET http://h HTTP/1.0", b"PUT * HTTP/1.1"]
NAMES = [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"X"]
VALUES = [b"h:1", b"5", b"chunked", b"close", b"upgrade", b"websocket", b""]


def built(line: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join([line, b"\r\n", *(b"%b: %b\r\n" % field for field in fields), b"\r\n"])


field_values = st.one_of(st.sampled_from(VALUES), st.binary(max_size=8))
fields = st.lists(st.tuples(st.sampled_from(NAMES), field_values), max_size=6)
heads = st.one_of(st.binary(max_size=300), st.builds(built, st.sampled_from(LINES), fields))


@given(heads)
def test_request_head(head: bytes) -> None:
    request = outcome(lambda: http1.parse_head(head))
    if isinstance(request, http1.Request):
        assert request.path.startswith("/") or request.path == "*"
        assert request.version == "1.0" or request.host
        outcome(request.params)
        assert dict(http1.Headers(head)) is not None


@given(st.binary(max_size=200), places, st.booleans())
def test_body(data: bytes, places: list[int], chunked: bool) -> None:
    def read(pieces: list[bytes]) -> Any:
        body: http1.Body = http1.ChunkedBody(LIMIT) if chunked else http1.FixedBody(17)
        for at, piece in enumerate(pieces):
            rest = body.receive_data(piece)
            if rest is not None:
                return body.take(), rest + b"".join(pieces[at + 1 :])
        return "more"

    assert outcome(lambda: read(cut(data, places))) == outcome(lambda: read([data]))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.binary(max_size=20), places)
def test_chunks_are_joined_and_the_rest_is_left(
    chunks: list[bytes], rest: bytes, places: list[int]
) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = http1.ChunkedBody(LIMIT)
    left: bytes | None = None
    for piece in cut(wire + rest, places):
        left = body.receive_data(piece) if left is None else left + piece
    assert (body.take(), left) == (b"".join(chunks), rest)


@given(st.one_of(st.binary(max_size=100), st.text("4b\x1eAQ=/+012", max_size=40).map(str.encode)))
def test_polling_payload(body: bytes) -> None:
    packets = outcome(lambda: engineio.split_payload(body, 10))
    assert packets == "bad packet" or 1 <= len(packets) <= 10


packet_texts = st.one_of(
    st.binary(max_size=60).map(lambda data: b"4" + data),
    st.from_regex(
        rb"4[0-7](\d{0,3}-)?(/[a-z]{0,3},?)?\d{0,3}(\[[a-z\"0-9,\[\]{}:]{0,12}\]?)?", fullmatch=True
    ),
)


@given(packet_texts, st.lists(st.binary(max_size=5), max_size=3))
def test_socketio_packet(text: bytes, attachments: list[bytes]) -> None:
    packet = outcome(lambda: socketio.decode(text))
    if isinstance(packet, socketio.Packet) and packet.attachments:
        assembler = socketio.Assembler(packet)
        for data in attachments[: packet.attachments]:
            if outcome(lambda data=data: assembler.add(data)) is not None:  # type: ignore[misc]
                break


@given(st.binary(max_size=80))
def test_json(text: bytes) -> None:
    outcome(lambda: socketio.decode_json(text))


keys = st.text(max_size=5).filter(lambda key: key != "_placeholder")
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.text(max_size=10),
        st.binary(max_size=10),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.text(max_size=5).filter(lambda key: key != "_placeholder"), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(
    st.lists(values, max_size=3), st.sampled_from(["/", "/chat"]), st.none() | st.integers(0, 999)
)
def test_events_survive_both_wire_forms(args: list[Any], namespace: str, ack: int | None) -> None:
    encoded = socketio.encode(socketio.EVENT, namespace, ["e", *args], ack)
    if len(encoded.attachments) > socketio.MAX_ATTACHMENTS:
        return
    polled = engineio.split_payload(encoded.form(engineio.POLLING), 100)
    over_websocket = unframed(encoded.form(engineio.WEBSOCKET))
    for packets in (polled, over_websocket):
        packet = assembled(packets)
        assert packet.data == ["e", *args]
        assert (packet.namespace, packet.id) == (namespace, ack)


def unframed(data: bytes) -> list[tuple[bool, bytes]]:
    """Frames of the server, as pairs (binary, payload)."""
    found = []
    while data:
        head, size = 2, data[1]
        if size == 126:
            head, size = 4, int.from_bytes(data[2:4], "big")
        found.append((data[0] & 15 == websocket.BINARY, data[head : head + size]))
        data = data[head + size :]
    return found


def assembled(packets: list[tuple[bool, bytes]]) -> socketio.Packet:
    packet: socketio.Packet | None = socketio.decode(packets[0][1])
    assert packet is not None
    if packet.attachments:
        assembler = socketio.Assembler(packet)
        for binary, data in packets[1:]:
            assert binary
            packet = assembler.add(data)
    assert packet is not None
    return packet


def test_a_protocol_error_is_one_of_three() -> None:
    assert {WebSocketError, HTTPError, PacketError} == set(ProtocolError.__subclasses__())
