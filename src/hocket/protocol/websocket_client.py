"""WebSocket, RFC 6455: the client's side, as much of it as a client needs that negotiates nothing.

Servers do not mask (5.1), and send no reserved bits to who asked for no extension (5.2).
"""

from __future__ import annotations

from typing import Final

from hocket.errors import WebSocketError
from hocket.protocol.websocket import (
    CLOSE,
    CONTINUATION,
    OPCODES,
    PROTOCOL_BROKEN,
    TOO_BIG,
    accept_token,
    unmask,
)

MAX_HEAD: Final = 65_536  # bytes of the answer to an upgrade
MAX_FRAGMENTS: Final = 1_024  # of a message: they are looked at again whenever one comes
_UPGRADE: Final = (
    b"GET %b HTTP/1.1\r\nHost: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def upgrade_request(host: bytes, target: bytes, key: bytes) -> bytes:
    """A request for a WebSocket (4.1). `key`: base64 of 16 bytes; `target`: path and query."""
    return _UPGRADE % (target, host, key)


def upgrade_answer(data: bytes, key: bytes) -> int:
    """Where the frames begin in `data`, the answer to `upgrade_request`; 0: the answer is not whole
    yet. Raises WebSocketError when it is no WebSocket (4.2.2).
    """
    end = data.find(b"\r\n\r\n") + 4
    if end == 3:
        if len(data) > MAX_HEAD:
            raise WebSocketError(PROTOCOL_BROKEN, "the answer does not end")
        return 0
    status = data[:64].split(b"\r\n", 1)[0].partition(b" ")[2]
    if not status.startswith(b"101"):
        raise WebSocketError(PROTOCOL_BROKEN, f"HTTP {status.decode('latin-1')}")
    if accept_token(key) not in data[:end]:
        raise WebSocketError(PROTOCOL_BROKEN, "the answer does not fit the key")
    return end


def masked_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """One whole frame from the client (5.2). `mask`: 4 bytes."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + mask + unmask(payload, mask)


def server_frames(
    data: bytes, max_size: int, most: int = 0
) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole messages and control frames in `data`, at most `most` of them, as pairs of an
    opcode and a payload; and what is left over: come back with it and what follows it. Raises
    WebSocketError for what a server may not send, and for over `max_size` bytes (1009).
    """
    found: list[tuple[int, bytes]] = []
    pieces: list[tuple[int, int, int]] = []  # frames of a message in fragments: where they lie
    at, size, total = 0, len(data), 0
    while size - at >= 2 and not (most and len(found) == most):
        first, length, start = data[at], data[at + 1], at + 2
        _check(first, length, bool(pieces))
        if length >= 126:
            start += 2 if length == 126 else 8
            if start > size:
                break
            length = int.from_bytes(data[at + 2 : start], "big")
        if length + total > max_size:
            raise WebSocketError(TOO_BIG, f"the message is over {max_size} bytes")
        end = start + length
        if end > size:
            break
        if first & 0x80 and first & 0x0F:
            found.append((first & 0x0F, data[start:end]))
        else:
            pieces.append((at, start, end))
            total += length
            if first & 0x80:
                payload = b"".join([data[begin:end] for _, begin, end in pieces])
                found.append((data[pieces[0][0]] & 0x0F, payload))
                pieces, total = [], 0
        at = end
    if len(pieces) > MAX_FRAGMENTS:
        raise WebSocketError(TOO_BIG, f"a message in over {MAX_FRAGMENTS} fragments")
    return found, b"".join([data[begin:end] for begin, _, end in pieces]) + data[at:]


def _check(first: int, second: int, goes_on: bool) -> None:
    """The first two bytes of a frame; `goes_on`: a message in fragments is not at its end."""
    opcode = first & 0x0F
    if first & 0x70:
        raise WebSocketError(PROTOCOL_BROKEN, "a reserved bit is set")
    if opcode not in OPCODES:
        raise WebSocketError(PROTOCOL_BROKEN, f"opcode {opcode} is reserved")
    if opcode >= CLOSE and not first & 0x80:
        raise WebSocketError(PROTOCOL_BROKEN, "a control frame in fragments")
    if opcode < CLOSE and goes_on is (opcode != CONTINUATION):
        raise WebSocketError(PROTOCOL_BROKEN, "a message and a fragment are mixed up")
    if second >= 0x80:
        raise WebSocketError(PROTOCOL_BROKEN, "the frame is masked")
