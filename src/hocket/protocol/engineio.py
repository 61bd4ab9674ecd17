"""Engine.IO, protocol 4: packets, their wire forms, and the life of a session.

A packet is one type character and data; a message may be binary instead, and then has no type
character on WebSocket, and a `b` and base64 in a polling payload, where packets are joined by the
record separator 0x1E. Clients may keep to the `b` over WebSocket (`forceBase64`).

    type      sent by   meaning
    0 open    server    the handshake, JSON
    1 close   both      the session ends
    2 ping    server    a heartbeat; as `2probe` from a client: "does WebSocket get through?"
    3 pong    client    the answer; `3probe` from the server: "it does"
    4 message both      data
    5 upgrade client    "from now on over WebSocket"
    6 noop    server    ends a poll that has nothing to say

The life of a session, by transport (source: the Engine.IO protocol page, "Upgrade"):

    polling --2probe on a new WebSocket--> probing --5--> websocket
    probing --anything else--> polling (the WebSocket closes)
    any     --1, timeout, bad packet--> closed

`CLIENT_MAY_SEND` is that table as data.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec import json

from hocket.errors import PacketError
from hocket.protocol.deflate import WINDOWS
from hocket.protocol.sse import from_packet
from hocket.protocol.websocket import BINARY, TEXT, deflated_frame, frame, text_frame

OPEN: Final = 0x30
CLOSE: Final = 0x31
PING: Final = 0x32
PONG: Final = 0x33
MESSAGE: Final = 0x34
UPGRADE: Final = 0x35
NOOP: Final = 0x36

SEPARATOR: Final = b"\x1e"

# What a client may send in which state, by type, and while probing to the letter: everything else
# is a bad packet and ends the session (or,
# while probing, the probe).
CLIENT_MAY_SEND: Final[dict[str, frozenset[bytes]]] = {
    "polling": frozenset({b"1", b"3", b"4"}),
    "probing": frozenset({b"2probe", b"5"}),
    "websocket": frozenset({b"1", b"3", b"4"}),
}

# Wire forms: how the same packet looks to different clients. A packet is encoded once for each form
# in use.
WEBSOCKET: Final = 0
POLLING: Final = 1
SSE: Final = 2
DEFLATED: Final = 3  # WebSocket, compressed with the least of `WINDOWS`; then one for each of them


class EncodedPacket:
    """One or several Engine.IO packets that travel together: text, then its binary attachments.

    Args:
        text: the text packet with its type character.
        attachments: binary messages that follow it.
        volatile: it may be dropped for a client that cannot take it right now.
        cursor: from where a client that has got it goes on; without line breaks.
        compress: it may be compressed for clients that negotiated it.
    """

    __slots__ = ("_forms", "_frame", "attachments", "compress", "cursor", "text", "volatile")

    def __init__(
        self,
        text: bytes,
        attachments: Sequence[bytes] = (),
        volatile: bool = False,
        cursor: str = "",
        compress: bool = True,
    ) -> None:
        self.text = text
        self.attachments = attachments
        self.volatile = volatile
        self.cursor = cursor
        self.compress = compress
        self._frame: bytes | None = None
        self._forms: dict[int, bytes] | None = None

    def form(self, wire: int) -> bytes:
        """The bytes for one wire form, made on first use."""
        if wire == WEBSOCKET:  # HOT: most packets have no other form (benchmarks echo: 0.1 us)
            if (made := self._frame) is None:
                made = self._frame = websocket_form(self)
            return made
        if wire == POLLING and not self.attachments:  # it is there: no dict of 232 bytes for it
            return self.text
        if self._forms is None:
            self._forms = {}
        if (found := self._forms.get(wire)) is None:
            found = self._forms[wire] = FORMS[wire](self)
        return found


def websocket_form(packet: EncodedPacket) -> bytes:
    """Each packet as a frame, one after the other."""
    head = text_frame(packet.text)
    if not packet.attachments:
        return head
    return head + b"".join([frame(BINARY, data) for data in packet.attachments])


def polling_form(packet: EncodedPacket) -> bytes:
    """A payload, or the part of one: packets joined by 0x1E, binary as base64."""
    encoded = [b"b" + b2a_base64(data, newline=False) for data in packet.attachments]
    return SEPARATOR.join((packet.text, *encoded))


def sse_form(packet: EncodedPacket) -> bytes:
    """As Server-Sent Events say it."""
    return from_packet(packet.text, packet.attachments, packet.cursor)


def deflated_form(packet: EncodedPacket, window: int) -> bytes:
    """As `websocket_form`, compressed unless the packet says not to."""
    if not packet.compress:
        return packet.form(WEBSOCKET)
    head = deflated_frame(TEXT, packet.text, window)
    return head + b"".join([deflated_frame(BINARY, data, window) for data in packet.attachments])


def deflated_wire(window: int) -> int:
    """The wire form of WebSockets that compress with a window of 2**window bytes."""
    return DEFLATED + WINDOWS.index(window)


FORMS: Final[list[Callable[[EncodedPacket], bytes]]] = [
    websocket_form,
    polling_form,
    sse_form,
    *(partial(deflated_form, window=window) for window in WINDOWS),
]

CLOSE_PACKET: Final = EncodedPacket(b"1")
PING_PACKET: Final = EncodedPacket(b"2")
NOOP_PACKET: Final = EncodedPacket(b"6")


def handshake_template(
    upgrades: list[str], ping_interval: float, ping_timeout: float, max_payload: int
) -> bytes:
    """The open packet, with `%b` in place of the session id. Times are in seconds here and in
    milliseconds on the wire.
    """
    return b'0{"sid":"%%b","upgrades":%b,"pingInterval":%d,"pingTimeout":%d,"maxPayload":%d}' % (
        json.encode(upgrades),
        round(ping_interval * 1000),
        round(ping_timeout * 1000),
        max_payload,
    )


def check_text(packet: bytes, state: str) -> int:
    """The type of a text packet that a client may send in `state`; raises PacketError for any
    other.
    """
    if (packet if state == "probing" else packet[:1]) not in CLIENT_MAY_SEND[state]:
        raise PacketError(f"a client may not send {packet[:8]!r} while {state}")
    return packet[0]


def split_payload(body: bytes, max_packets: int) -> list[tuple[bool, bytes]]:
    """A polling payload as pairs (binary, packet); raises PacketError.

    Args:
        body: UTF-8 text, packets joined by 0x1E.
        max_packets: how many may stand in it.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise PacketError("the payload is not UTF-8") from None
    if body.count(SEPARATOR) >= max_packets:
        raise PacketError(f"the payload has over {max_packets} packets")
    return [
        (True, decode_base64(packet[1:])) if packet[:1] == b"b" else (False, packet)
        for packet in body.split(SEPARATOR)
    ]


_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_FOR_URLS = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: bytes) -> bytes:
    """A binary message behind its `b`: of either alphabet, with or without padding (RFC 4648
    sections 4 and 5); raises PacketError.
    """
    text = text.translate(_FOR_URLS)
    try:
        if _BASE64.fullmatch(text):
            return a2b_base64(text + b"=" * (-len(text) % 4))
    except Base64Error:
        pass
    raise PacketError("a binary packet is not base64")
