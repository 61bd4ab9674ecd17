"""One function a parser: bytes in; whatever it raises is a find. `SEEDS`: where to begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hocket.errors import ProtocolError
from hocket.protocol import deflate, engineio, http1, proxy, socketio, websocket

LIMIT = 4_096


def pieces(data: bytes) -> Iterator[bytes]:
    """The first byte says how long the pieces are that the rest comes in."""
    size = data[0] + 1 if data else 1
    for at in range(1, len(data), size):
        yield data[at : at + size]


def said(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except ProtocolError as error:
        return type(error), getattr(error, "code", None), getattr(error, "status", None)


def _events(parts: Iterator[bytes]) -> list[Any]:
    receiver = websocket.Receiver(LIMIT)
    events: list[Any] = []
    try:
        for part in parts:
            receiver.receive_data(part)
            events.extend(receiver.events())
    except ProtocolError as error:
        events.append(str(error))
    return events


def websocket_receiver(data: bytes) -> None:
    whole = _events(iter([data[1:]]))
    assert _events(pieces(data)) == whole
    payload = websocket.whole_text(data[1:])
    if payload is not None and payload.isascii() and len(payload) <= LIMIT:
        assert whole == [(websocket.TEXT, payload)]


def http_head(data: bytes) -> None:
    request = said(lambda: http1.parse_head(data))
    if isinstance(request, http1.Request):
        said(request.params)
        said(lambda: http1.body_of(request, LIMIT))
        dict(http1.Headers(data))


def _read(parts: Iterator[bytes]) -> Any:
    body, left = http1.ChunkedBody(LIMIT), None
    for part in parts:
        left = body.receive_data(part) if left is None else left + part
    return body.take(), left


def chunked_body(data: bytes) -> None:
    assert said(lambda: _read(pieces(data))) == said(lambda: _read(iter([data[1:]])))


def polling_payload(data: bytes) -> None:
    packets = said(lambda: engineio.split_payload(data, 100))
    for binary, packet in packets if isinstance(packets, list) else ():
        if not binary:
            for state in engineio.CLIENT_MAY_SEND:
                said(lambda packet=packet, state=state: engineio.check_text(packet, state))  # type: ignore[misc]


def socketio_packet(data: bytes) -> None:
    text, *attachments = data.split(b"\x1e")
    packet = said(lambda: socketio.decode(b"4" + text))
    if isinstance(packet, socketio.Packet) and packet.attachments:
        assembler = socketio.Assembler(packet)
        for attachment in attachments[: packet.attachments]:
            said(lambda attachment=attachment: assembler.add(attachment))  # type: ignore[misc]


def json(data: bytes) -> None:
    said(lambda: socketio.decode_json(data))


def deflated(data: bytes) -> None:
    """An offer, and behind the first line a message; what is compressed must come back."""
    offers, _, message = data.partition(b"\n")
    said(lambda: deflate.decompress(message, LIMIT))
    agreed = deflate.negotiate(offers.decode("latin-1"))
    if agreed is not None and len(message) <= LIMIT:
        window, answer = agreed
        assert "\n" not in answer
        assert deflate.decompress(deflate.compress(message, window), LIMIT) == message


def proxied(data: bytes) -> None:
    """A PROXY header means the same however it arrives, and fields never raise."""
    whole = said(lambda: proxy.introduction(data))
    if isinstance(whole, proxy.Introduction):
        assert said(lambda: proxy.introduction(data[: whole.size])) == whole
        assert said(lambda: proxy.introduction(data[: whole.size - 1])) is None
    text = data.decode("latin-1")
    proxy.forwarded(text)
    proxy.x_forwarded(*text.partition("\n")[::2])


TARGETS: dict[str, Callable[[bytes], None]] = {
    "websocket": websocket_receiver,
    "http-head": http_head,
    "chunked-body": chunked_body,
    "polling-payload": polling_payload,
    "socketio-packet": socketio_packet,
    "json": json,
    "deflate": deflated,
    "proxy": proxied,
}

_HEAD = b"POST /a?b=%41 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\nConnection: Upgrade\r\n\r\n"
SEEDS: dict[str, list[bytes]] = {
    "websocket": [
        b"\x03\x81\x85abcdhello",
        b"\x00\x01\x81abcdx\x89\x80abcd\x80\x81abcdy",
        b"\xff\x88\x82abcd\x03\xe8\x81\xfe\x00\x80abcd" + b"x" * 128,
    ],
    "http-head": [_HEAD, _HEAD.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")],
    "chunked-body": [b"\x025\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX: y\r\n\r\nrest"],
    "polling-payload": [b"4hello\x1ebAQIDBA==\x1e3\x1e1\x1e2probe\x1e5"],
    "socketio-packet": [
        b'2["e",{"a":[1,null,true,"\\ud83d"]}]',
        b'51-/a,7["e",{"_placeholder":true,"num":0}]\x1edata',
        b'0/a,{"t":1}',
        b"3/a,12[]",
    ],
    "deflate": [
        b"permessage-deflate; client_max_window_bits; server_max_window_bits=9\nhello hello",
        b'permessage-deflate; x="1", permessage-deflate\n\xf2H\xcd\xc9\xc9\x07\x00',
    ],
    "proxy": [
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET",
        proxy.V2_START + b"\x21\x11\x00\x0c" + bytes(12),
        b'for="[2001:db8::1]:4711";proto=https, for=10.0.0.2',
        b"203.0.113.7, 10.0.0.2\nhttps",
    ],
    "json": [b'{"a":[1,-2.5e3,null,true,"\\u00e9\\ud83d"]}', b"[[[[[]]]]]"],
}
