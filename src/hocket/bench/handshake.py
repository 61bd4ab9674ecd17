"""How a client gets in: generators that say what to send and are told what came.

`yield data` sends; `yield b""` waits and returns what came; `yield None` asks for a new connection
in place of this one. The value returned is what came after the end of the handshake. So they need
no socket and no loop, and take memory only while a client is on its way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Final

import httptools

from hocket.bench.speech import Speech
from hocket.errors import HocketError
from hocket.protocol.engineio import SEPARATOR
from hocket.protocol.websocket import CLOSE, PING, PONG, TEXT
from hocket.protocol.websocket_client import server_frames, upgrade_answer, upgrade_request

MAX_SIZE: Final = 16_777_216  # bytes of a message from the server
_LINES: Final = b"Host: %b\r\nUser-Agent: hocket-bench\r\nAccept: */*\r\n"
_POST: Final = b"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n"

Handshake = Generator[bytes | None, bytes, bytes]


class Refused(HocketError):
    """The server does not let the client in."""


def raw(speech: Speech, number: int) -> Handshake:
    """A plain WebSocket."""
    return (yield from _upgrade(speech, speech.target("websocket")))


def websocket(speech: Speech, number: int) -> Handshake:
    """Socket.IO over WebSocket from the start."""
    data = yield from _upgrade(speech, speech.target("websocket"))
    text, data = yield from _text(speech, data)
    if text[:1] != b"0":
        raise Refused(f"not an Engine.IO server: it says {text[:40]!r}")
    yield speech.frame(speech.joining(number))
    text, data = yield from _text(speech, data)
    while not _is_joined(speech, text):
        text, data = yield from _text(speech, data)
    return data


def upgrade(speech: Speech, number: int) -> Handshake:
    """As the default client comes: joins over long-polling, then moves to a WebSocket. The steps
    follow each other here; in a browser some of them overlap.
    """
    line = _Line()
    sid = _sid((yield from line.request(speech, b"GET", "")))
    yield from line.request(speech, b"POST", sid, speech.joining(number))
    yield from _polled(speech, line, sid)
    yield None
    data = yield from _upgrade(speech, speech.target("websocket", sid))
    yield speech.frame(b"2probe")
    text, data = yield from _text(speech, data)
    if text != b"3probe":
        raise Refused(f"the probe is answered by {text[:40]!r}")
    yield speech.frame(b"5")
    return data


def choose(transport: str, is_raw: bool) -> Callable[[Speech, int], Handshake]:
    return raw if is_raw else {"websocket": websocket, "upgrade": upgrade}[transport]


def _upgrade(speech: Speech, target: bytes) -> Handshake:
    """Ask for a WebSocket; what came behind the answer."""
    yield upgrade_request(speech.host, target, speech.key)
    data = b""
    while not (end := upgrade_answer(data, speech.key)):
        data += yield b""
    return data[end:]


def _text(speech: Speech, data: bytes) -> Generator[bytes | None, bytes, tuple[bytes, bytes]]:
    """The next text message that is no heartbeat, and what came behind it."""
    while True:
        frames, data = server_frames(data, MAX_SIZE, 1)
        if not frames:
            data += yield b""
        elif frames[0] == (TEXT, b"2"):
            yield speech.pong
        elif frames[0][0] == PING:
            yield speech.frame(frames[0][1], PONG)
        elif frames[0][0] == TEXT:
            return frames[0][1], data
        elif frames[0][0] == CLOSE:
            raise Refused(closing(frames[0][1]))


def closing(payload: bytes) -> str:
    """What a close frame says."""
    code = int.from_bytes(payload[:2], "big") or 1005
    why = payload[2:].decode("utf-8", "replace")
    return f"closed by the server, code {code} {why}".rstrip()


def _is_joined(speech: Speech, packet: bytes) -> bool:
    """Whether this is the answer that lets a client in; an event may come before it."""
    if packet.startswith(b"44"):
        raise Refused(f"refused by the app: {packet[2:200].decode('utf-8', 'replace')}")
    if packet.startswith((b"42", b"45")):
        return False
    if not packet.startswith(speech.joined):
        raise Refused(f"the server answers CONNECT by {packet[:40]!r}")
    return True


# Long-polling


class _Answer:
    """Of an HTTP request; filled in by httptools."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = b""
        self.is_whole = False
        self.is_last = False  # of its connection

    def on_headers_complete(self) -> None:
        self.is_last = not self.parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_whole = True


class _Line:
    """A connection for requests, kept alive if the server keeps it."""

    def __init__(self) -> None:
        self._is_kept = True

    def request(self, speech: Speech, method: bytes, sid: str, body: bytes = b"") -> Handshake:
        """A request; the body of the answer."""
        if not self._is_kept:
            yield None
        target = speech.target("polling", sid)
        head = method + b" " + target + b" HTTP/1.1\r\n" + _LINES % speech.host
        if body:
            head += _POST % len(body)
        answer = _Answer()
        yield head + b"\r\n" + body
        size = 0
        while not answer.is_whole:
            data = yield b""
            size += len(data)
            if size > MAX_SIZE:
                raise Refused(f"an answer of over {MAX_SIZE} bytes")
            answer.parser.feed_data(data)
        if (status := answer.parser.get_status_code()) != 200:
            raise Refused(f"HTTP {status} {answer.body[:80]!r}")
        self._is_kept = not answer.is_last
        return answer.body


def _sid(opened: bytes) -> str:
    try:
        return str(json.loads(opened[1:])["sid"])
    except (ValueError, KeyError, TypeError):
        raise Refused(f"not an Engine.IO server: it says {opened[:40]!r}") from None


def _polled(speech: Speech, line: _Line, sid: str) -> Generator[bytes | None, bytes, None]:
    """Poll until the app has let the client in."""
    while True:
        for packet in (yield from line.request(speech, b"GET", sid)).split(SEPARATOR):
            if packet == b"2":
                yield from line.request(speech, b"POST", sid, b"3")
            elif packet.startswith(b"4") and _is_joined(speech, packet):
                return
