"""Packets as Server-Sent Events say them."""

from __future__ import annotations

import pytest

from hocket.protocol import socketio, sse
from hocket.protocol.engineio import PING_PACKET, SSE, EncodedPacket


@pytest.mark.parametrize(
    ("packet", "stream"),
    [
        (socketio.encode(2, "/", ("tick", 1)), b"event: tick\ndata: [1]\n\n"),
        (socketio.encode(2, "/", ("tick",)), b"event: tick\ndata: []\n\n"),
        (socketio.encode(2, "/admin", ("a", {"b": "\n"}), 7), b'event: a\ndata: [{"b":"\\n"}]\n\n'),
        (
            socketio.encode(2, "/", ("b", b"\x00\xff", [b"x"])),
            b'event: b\ndata: ["AP8=",["eA=="]]\n\n',
        ),
        (
            EncodedPacket(b'451-["b",{"_placeholder":true},{"_placeholder":true,"num":9}]', [b"x"]),
            b'event: b\ndata: [{"_placeholder":true},{"_placeholder":true,"num":9}]\n\n',
        ),
        (socketio.encode(2, "/", ("a\nid: 1\r", 1)), b"event: a id: 1 \ndata: [1]\n\n"),
        (PING_PACKET, b": ping\n\n"),
        (EncodedPacket(socketio.connected("/", "abc")), b""),
        (socketio.encode(1, "/"), b""),
        (EncodedPacket(b'42["tick"]', cursor="17"), b"event: tick\ndata: []\nid: 17\n\n"),
        (EncodedPacket(b'42["t"]', cursor="1\n\nx"), b"event: t\ndata: []\nid: 1  x\n\n"),
    ],
)
def test_packets(packet: EncodedPacket, stream: bytes) -> None:
    assert packet.form(SSE) == stream


def test_the_opening_says_when_to_come_back() -> None:
    assert sse.opening(2.5) == b"retry: 2500\n\n"
