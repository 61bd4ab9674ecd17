"""The client's side of WebSocket: a server's parser reads what it writes, and the reverse."""

from __future__ import annotations

import pytest

from hocket.errors import WebSocketError
from hocket.protocol.websocket import BINARY, CLOSE, PING, TEXT, Receiver, accept_token, frame
from hocket.protocol.websocket_client import (
    MAX_FRAGMENTS,
    MAX_HEAD,
    masked_frame,
    server_frames,
    upgrade_answer,
    upgrade_request,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
MASK = b"\x37\xfa\x21\x3d"
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def test_a_masked_frame_is_the_one_of_the_rfc() -> None:
    assert masked_frame(TEXT, b"Hello", MASK) == bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_frames_of_any_size_cross_in_both_directions(size: int) -> None:
    payload = b"x" * size
    receiver = Receiver(1 << 20)
    receiver.receive_data(masked_frame(TEXT, payload, MASK))
    assert list(receiver.events()) == [(TEXT, payload)]
    assert server_frames(frame(BINARY, payload), 1 << 20) == ([(BINARY, payload)], b"")


def test_frames_in_any_pieces() -> None:
    whole = frame(TEXT, b"one") + frame(TEXT, b"x" * 200) + frame(CLOSE, b"")
    rest, found = b"", []
    for at in range(len(whole)):
        frames, rest = server_frames(rest + whole[at : at + 1], 1000)
        found += frames
    assert (found, rest) == ([(TEXT, b"one"), (TEXT, b"x" * 200), (CLOSE, b"")], b"")


FRAGMENTS = b"\x01\x02on" + b"\x89\x01?" + b"\x00\x00" + b"\x80\x01e" + frame(BINARY, b"two")
WHOLE = [(PING, b"?"), (TEXT, b"one"), (BINARY, b"two")]


def test_fragments_in_any_pieces() -> None:
    for step in (1, 2, 3, 5, len(FRAGMENTS)):
        rest, found = b"", []
        for at in range(0, len(FRAGMENTS), step):
            frames, rest = server_frames(rest + FRAGMENTS[at : at + step], 1000)
            found += frames
        assert (found, rest) == (WHOLE, b"")


def test_fragments_one_at_a_time() -> None:
    rest, found = FRAGMENTS, []
    while rest:
        frames, rest = server_frames(rest, 1000, 1)
        assert len(frames) == 1
        found += frames
    assert found == WHOLE


def test_no_more_frames_than_asked_for() -> None:
    second = frame(TEXT, b"two")
    assert server_frames(frame(TEXT, b"one") + second, 1000, 1) == ([(TEXT, b"one")], second)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x80\x01x", 1002),  # a continuation of nothing
        (b"\x01\x01x\x81\x01x", 1002),  # another message within one in fragments
        (b"\x09\x01x", 1002),  # a control frame in fragments
        (b"\x01\x01x" + b"\x00\x7e\x03\xe8" + b"x" * 1000, 1009),  # together
        (b"\x01\x01x" + b"\x00\x00" * MAX_FRAGMENTS, 1009),
        (b"\xc1\x01x", 1002),  # a reserved bit
        (b"\x83\x01x", 1002),  # a reserved opcode
        (masked_frame(TEXT, b"x", MASK), 1002),
        (frame(TEXT, b"x" * 1001), 1009),
        (frame(TEXT, b"x" * 70_000)[:10], 1009),  # refused by its header
    ],
)
def test_what_a_server_may_not_send(data: bytes, code: int) -> None:
    with pytest.raises(WebSocketError) as caught:
        server_frames(data, 1000)
    assert caught.value.code == code


def test_the_answer_to_an_upgrade() -> None:
    assert accept_token(KEY) in ANSWER
    assert upgrade_answer(ANSWER + b"\x81\x00", KEY) == len(ANSWER)
    assert [upgrade_answer(ANSWER[:at], KEY) for at in range(len(ANSWER))] == [0] * len(ANSWER)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404 Not Found"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "HTTP 200 OK"),
        (ANSWER.replace(b"s3p", b"S3P"), "does not fit the key"),
        (b"x" * (MAX_HEAD + 1), "does not end"),
    ],
)
def test_an_answer_that_is_no_websocket(answer: bytes, why: str) -> None:
    with pytest.raises(WebSocketError, match=why):
        upgrade_answer(answer, KEY)


def test_an_upgrade_request() -> None:
    asked = upgrade_request(b"localhost:80", b"/chat?x=1", KEY)
    assert asked.startswith(b"GET /chat?x=1 HTTP/1.1\r\nHost: localhost:80\r\n")
    assert b"Sec-WebSocket-Key: " + KEY + b"\r\n" in asked
    assert asked.endswith(b"\r\n\r\n")
