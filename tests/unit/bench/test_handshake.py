"""Handshakes, told what a server might say: no sockets."""

from __future__ import annotations

import httptools
import pytest

from hocket.bench.handshake import MAX_SIZE, Handshake, Refused, choose
from hocket.bench.plan import Plan
from hocket.bench.speech import Speech
from hocket.bench.target import Target
from hocket.errors import WebSocketError
from hocket.protocol.websocket import BINARY, PING, TEXT, Receiver, accept_token, frame

LOCAL = Target("http://127.0.0.1:80/?a=1", "127.0.0.1:80", "127.0.0.1", 80, "/", "a=1")
OPEN = b'0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'


class Talk:
    """A handshake and this test as its server."""

    def __init__(self, transport: str, namespace: str = "/") -> None:
        plan = Plan(target=LOCAL, namespace=namespace, rooms=10, auth={"token": "t"})
        self.speech = Speech(plan)
        self.handshake: Handshake = choose(transport, False)(self.speech, 13)
        self.reconnects = 0
        self.rest: bytes | None = None
        self.said = self._go(None)

    def _go(self, data: bytes | None) -> bytes:
        said = b""
        try:
            while True:
                answer = self.handshake.send(data)  # type: ignore[arg-type] # None begins it
                data = b""
                if answer == b"":
                    return said
                if answer is None:
                    self.reconnects += 1
                else:
                    said += answer
        except StopIteration as end:
            self.rest = end.value
            return said

    def hear(self, data: bytes) -> bytes:
        """What it says to that."""
        self.said = self._go(data)
        return self.said

    def http(self, body: bytes, status: int = 200) -> bytes:
        head = b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        return self.hear(head + body)

    def let_in(self, behind: bytes = b"") -> bytes:
        accept = accept_token(self.speech.key)
        head = b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        return self.hear(head + behind)

    def texts(self) -> list[bytes]:
        receiver = Receiver(1 << 16)
        receiver.receive_data(self.said)
        return [payload for opcode, payload in receiver.events() if opcode == TEXT]


def test_over_websocket() -> None:
    talk = Talk("websocket", "/admin")
    assert talk.said.startswith(b"GET /socket.io/?a=1&EIO=4&transport=websocket HTTP/1.1\r\n")
    talk.let_in(frame(TEXT, OPEN)[:20])
    talk.hear(frame(TEXT, OPEN)[20:])
    assert talk.texts() == [
        b'40/admin,{"user":"bench-13","rooms":["everybody","room-3"],"token":"t"}'
    ]
    talk.hear(frame(TEXT, b'40/admin,{"sid":"x"}') + b"\x81")
    assert talk.rest == b"\x81"


def test_over_polling_and_then_websocket() -> None:
    talk = Talk("upgrade")
    assert talk.said.startswith(b"GET /socket.io/?a=1&EIO=4&transport=polling HTTP/1.1\r\n")
    assert b"POST /socket.io/?a=1&EIO=4&transport=polling&sid=abc " in talk.http(OPEN)
    assert talk.said.endswith(
        b'\r\n\r\n40{"user":"bench-13","rooms":["everybody","room-3"],"token":"t"}'
    )
    assert talk.http(b"ok").startswith(b"GET /socket.io/?a=1&EIO=4&transport=polling&sid=abc ")
    # A heartbeat comes first, is answered, and what is behind it is not lost.
    assert talk.http(b'2\x1e40{"sid":"x"}').endswith(b"\r\n\r\n3")
    assert talk.reconnects == 0
    assert b"GET /socket.io/?a=1&EIO=4&transport=websocket&sid=abc " in talk.http(b"ok")
    assert talk.reconnects == 1
    talk.let_in()
    assert talk.texts() == [b"2probe"]
    talk.hear(frame(TEXT, b"3probe"))
    assert (talk.texts(), talk.rest) == ([b"5"], b"")


def test_an_event_may_come_before_the_way_in_is_free() -> None:
    """As of python-socketio, whose `connect` handlers may emit."""
    talk = Talk("websocket")
    talk.let_in(frame(TEXT, OPEN))
    talk.hear(frame(TEXT, b'42["hello"]') + frame(PING, b"?"))
    assert talk.rest is None
    talk.hear(frame(TEXT, b'451-["x",{"_placeholder":true,"num":0}]') + frame(BINARY, b"x"))
    talk.hear(frame(TEXT, b'40{"sid":"x"}'))
    assert talk.rest == b""
    talk = Talk("upgrade")
    talk.http(OPEN)
    talk.http(b"ok")
    assert b"transport=websocket" in talk.http(b'42["hello"]\x1e40{"sid":"x"}')


def test_a_server_that_keeps_no_connection_alive() -> None:
    talk = Talk("upgrade")
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    for at, body in enumerate((OPEN, b"ok", b'40{"sid":"x"}')):
        assert talk.reconnects == at
        talk.hear(closing % (len(body), body))
    assert talk.reconnects == 3
    assert b"transport=websocket" in talk.said


def test_an_answer_in_chunks() -> None:
    talk = Talk("upgrade")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (head, b"%x\r\n" % len(OPEN), OPEN, b"\r\n0\r\n", b"\r\n"):
        talk.hear(piece)
    assert talk.said.startswith(b"POST ")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([frame(TEXT, b"hello")], "not an Engine.IO server"),
        ([frame(TEXT, OPEN), frame(TEXT, b'44{"message":"no"}')], 'by the app: {"message":"no"}'),
        ([frame(TEXT, OPEN), frame(TEXT, b"41")], "answers CONNECT by"),
        ([b"\x88\x02\x03\xe8"], "closed by the server, code 1000"),
    ],
)
def test_what_is_no_way_in(said: list[bytes], why: str) -> None:
    talk = Talk("websocket")
    talk.let_in()
    for each in said[:-1]:
        talk.hear(each)
    with pytest.raises(Refused, match=why):
        talk.hear(said[-1])


def test_what_is_no_way_in_over_polling() -> None:
    with pytest.raises(Refused, match="HTTP 503"):
        Talk("upgrade").http(b"no room", 503)
    for body in (b"hello", b"0{}", b"0[]", b"", b"0{"):
        with pytest.raises(Refused, match=r"not an Engine\.IO server"):
            Talk("upgrade").http(body)
    with pytest.raises(httptools.HttpParserError):
        Talk("upgrade").hear(b"SSH-2.0-x\r\n")
    with pytest.raises(WebSocketError, match="HTTP 200"):
        Talk("websocket").hear(b"HTTP/1.1 200 OK\r\n\r\n")


def test_an_answer_without_an_end() -> None:
    talk = Talk("upgrade")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40)
    talk.hear(head.ljust(1 << 20, b"x"))
    for _ in range((MAX_SIZE >> 20) - 1):
        talk.hear(bytes(1 << 20))
    with pytest.raises(Refused, match="over 16777216 bytes"):
        talk.hear(bytes(1 << 20))
