"""The clients of the load generator against a server that is this test, byte by byte."""

from __future__ import annotations

import contextlib
import socket as sockets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hocket.bench.clients import REASONS, Clients
from hocket.bench.plan import Plan
from hocket.bench.target import Target
from hocket.protocol.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Receiver,
    accept_token,
    close_frame,
    frame,
)

WITHIN = 10.0  # seconds that something may take; only failing tests need them


class Peer:
    """The server's end of one client."""

    def __init__(self, socket: sockets.socket) -> None:
        self.socket = socket
        self.socket.setblocking(False)
        self.heard = b""

    def listen(self) -> bytes:
        """Everything that has come so far."""
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(65_536):
                self.heard += data
        return self.heard

    def let_in(self) -> None:
        """Answer the upgrade."""
        key = self.heard.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        self.heard = b""
        self.socket.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_token(key) + b"\r\n\r\n"
        )

    def frames(self) -> list[tuple[int, bytes]]:
        receiver = Receiver(1 << 24)
        receiver.receive_data(self.listen())
        return list(receiver.events())


class World:
    """Clients, what they report, and a port that nobody listens at until `serve`."""

    def __init__(self, **given: Any) -> None:
        self.listener = sockets.socket()
        self.listener.bind(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        host = f"127.0.0.1:{port}"
        target = Target(f"ws://{host}", host, "127.0.0.1", port, "/", "")
        plan = Plan(target=target, **{"raw": True, "timeout": WITHIN, **given})
        self.clients = Clients(plan, 0, self, plan.window_each)
        self.peers: list[Peer] = []
        self.ins: list[int] = []
        self.texts: list[bytes] = []
        self.outs: list[int] = []
        self.failures: list[int] = []

    def ready(self, fd: int, number: int, intended: int) -> None:
        self.ins.append(fd)

    def text(self, fd: int, text: bytes) -> None:
        self.texts.append(text)

    def lost(self, fd: int, number: int) -> None:
        self.outs.append(number)

    def failed(self, number: int) -> None:
        self.failures.append(number)

    def until(self, is_done: Callable[[], object]) -> None:
        deadline = time.monotonic() + WITHIN
        while not is_done():
            assert time.monotonic() < deadline, "what the test waited for did not happen"
            self.clients.fill(time.monotonic_ns())
            self.clients.turn(1_000_000)

    def serve(self) -> None:
        self.listener.listen(16)

    def accept(self) -> Peer:
        """The next client, with its request."""
        peer = Peer(self.listener.accept()[0])
        self.peers.append(peer)
        self.until(lambda: peer.listen().endswith(b"\r\n\r\n"))
        return peer

    def with_one(self) -> Peer:
        """One that is in."""
        self.serve()
        self.clients.open(7)
        self.clients.fill(time.monotonic_ns())
        peer = self.accept()
        peer.let_in()
        self.until(lambda: self.ins)
        return peer


@pytest.fixture
def world() -> Iterator[World]:
    with made() as world:
        yield world


@contextlib.contextmanager
def made(**given: Any) -> Iterator[World]:
    world = World(**given)
    try:
        yield world
    finally:
        world.clients.close()
        for socket in (world.listener, *(peer.socket for peer in world.peers)):
            socket.close()


# Coming in


def test_who_is_refused_comes_back(world: World) -> None:
    world.clients.open(1)
    world.until(lambda: world.clients.failures["connection refused"] == 2)
    world.serve()
    world.until(lambda: world.clients.connecting)
    world.accept().let_in()
    world.until(lambda: world.ins)
    assert list(world.clients.live.values()) == [1]
    assert world.clients.is_settled


def test_and_gives_up_in_the_end() -> None:
    with made(retries=1) as world:
        world.clients.open(5)
        world.until(lambda: world.failures)
        assert world.failures == [5]
        assert world.clients.failures == {"connection refused": 2}
        assert world.clients.is_settled


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP 503 Service Unavailable"),
        (b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: x\r\n\r\n", "the answer does not fit the key"),
        (b"\x00" * 70_000, "the answer does not end"),
        (b"", "closed by the server"),
    ],
)
def test_other_answers_are_counted_by_their_reason(answer: bytes, why: str) -> None:
    with made(retries=0) as world:
        world.serve()
        world.clients.open(1)
        world.clients.fill(time.monotonic_ns())
        peer = world.accept()
        peer.socket.sendall(answer)
        if not answer:
            peer.socket.close()
        world.until(lambda: world.failures)
        assert world.clients.failures == {why: 1}


def test_a_server_that_is_silent() -> None:
    with made(retries=0, timeout=0.1) as world:
        world.serve()
        world.clients.open(1)
        world.until(lambda: world.failures)
        assert world.clients.failures == {"no answer within 0.1 s": 1}


def test_no_more_on_their_way_than_the_window() -> None:
    with made(window=2) as world:
        world.serve()
        for number in range(5):
            world.clients.open(number)
        for count in range(5):
            world.clients.fill(time.monotonic_ns())
            assert len(world.clients.connecting) == min(2, 5 - count)
            world.accept().let_in()
            world.until(lambda: len(world.ins) > count)  # noqa: B023 - it is done in this turn
        assert sorted(world.clients.live.values()) == [0, 1, 2, 3, 4]


def test_it_comes_from_addresses_of_its_own(world: World) -> None:
    assert world.with_one().socket.getpeername()[0] == "127.0.0.1"
    with made(connections=20_000) as large:
        large.serve()
        for number in range(4):
            large.clients.open(number)
        large.clients.fill(time.monotonic_ns())
        sources = [large.accept().socket.getpeername()[0] for _ in range(4)]
        assert sorted(sources) == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"]


# Being there


def test_messages_in_any_pieces(world: World) -> None:
    peer = world.with_one()
    whole = frame(TEXT, b"one") + frame(TEXT, b"two" * 100) + frame(TEXT, b"")
    for at in range(len(whole)):
        peer.socket.send(whole[at : at + 1])
        world.clients.turn(1_000_000)
    world.until(lambda: len(world.texts) == 3)
    assert world.texts == [b"one", b"two" * 100, b""]


def test_what_comes_with_the_answer_is_heard(world: World) -> None:
    world.serve()
    world.clients.open(1)
    world.clients.fill(time.monotonic_ns())
    peer = world.accept()
    peer.let_in()
    peer.socket.send(frame(TEXT, b"at once"))
    world.until(lambda: world.texts)
    assert world.texts == [b"at once"]


def test_heartbeats_are_answered() -> None:
    with made() as plain:
        peer = plain.with_one()
        peer.socket.send(frame(PING, b"are you there"))
        plain.until(peer.listen)
        assert peer.frames() == [(PONG, b"are you there")]
    with made(raw=False) as world:
        world.serve()
        world.clients.open(3)
        world.clients.fill(time.monotonic_ns())
        peer = world.accept()
        peer.let_in()
        # Engine.IO's heartbeat, first while the client is on its way and then when it is in.
        peer.socket.send(frame(TEXT, b"0{}") + frame(TEXT, b"2") + frame(TEXT, b'40{"sid":"x"}'))
        world.until(lambda: world.ins)
        peer.socket.send(frame(TEXT, b"2"))
        world.until(lambda: len(peer.frames()) == 3)
        (joining, *pongs) = [payload for _, payload in peer.frames()]
        assert joining == b'40{"user":"bench-3","rooms":["everybody","room-3"]}'
        assert pongs == [b"3", b"3"]


def test_a_plain_server_may_answer_in_binary(world: World) -> None:
    """As `ws.on("message", m => ws.send(m))` in Node.js does."""
    world.with_one().socket.send(frame(BINARY, b"@1@1@"))
    world.until(lambda: world.texts)
    assert world.texts == [b"@1@1@"]


@pytest.mark.parametrize("size", [124, 125, 126, 128, 200])
def test_a_piece_of_any_length_of_a_longer_message(world: World, size: int) -> None:
    peer = world.with_one()
    whole = frame(TEXT, b"x" * 300)
    peer.socket.send(whole[:size])
    world.until(lambda: world.clients._rest)
    peer.socket.send(whole[size:])
    world.until(lambda: world.texts)
    assert world.texts == [b"x" * 300]


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"41", "disconnected by the app"), (b"1", "closed by the server")],
)
def test_whom_an_app_disconnects_is_not_in_any_more(said: bytes, why: str) -> None:
    with made(raw=False) as world:
        world.serve()
        world.clients.open(3)
        world.clients.fill(time.monotonic_ns())
        peer = world.accept()
        peer.let_in()
        peer.socket.send(frame(TEXT, b"0{}") + frame(TEXT, b'40{"sid":"x"}'))
        world.until(lambda: world.ins)
        peer.socket.send(frame(TEXT, said))
        world.until(lambda: world.outs)
        assert (world.outs, world.clients.losses) == ([3], {why: 1})


def test_reasons_are_few_and_can_be_shown(world: World) -> None:
    for number in range(REASONS + 5):
        peer = world.with_one()
        peer.socket.send(close_frame(1008, f"no \x1b[2J {number}"))
        world.until(lambda: len(world.outs) > number)  # noqa: B023
        world.ins.clear()
    assert len(world.clients.losses) == REASONS + 1
    assert world.clients.losses["other reasons"] == 5
    assert world.clients.losses["closed by the server, code 1008 no ?[2J 0"] == 1


def test_a_message_in_fragments_with_a_ping_among_them(world: World) -> None:
    peer = world.with_one()
    peer.socket.send(b"\x01\x02he" + frame(PING, b"?") + b"\x00\x02ll")
    world.until(lambda: peer.frames() == [(PONG, b"?")])
    assert world.texts == []
    peer.socket.send(b"\x80\x01o" + frame(TEXT, b"you"))
    world.until(lambda: len(world.texts) == 2)
    assert world.texts == [b"hello", b"you"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (close_frame(1008, "too much"), "closed by the server, code 1008 too much"),
        (frame(CLOSE, b""), "closed by the server, code 1005"),
        (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), "the message is over 16777216 bytes"),
        (b"\xff\x00", "a reserved bit is set"),
    ],
)
def test_why_one_is_lost(world: World, data: bytes, why: str) -> None:
    peer = world.with_one()
    peer.socket.send(data)
    world.until(lambda: world.outs)
    assert (world.outs, world.clients.losses) == ([7], {why: 1})
    assert not world.clients.live


def test_a_server_that_does_not_read_costs_one_frame_and_no_memory(world: World) -> None:
    world.listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    peer = world.with_one()
    (fd,) = world.ins
    big = world.clients.speech.frame(b"x" * 60_000)
    sent = 0
    while world.clients.send(fd, big):
        sent += 1
    assert not world.clients.send(fd, big)
    assert world.clients.unsent == 2
    world.until(lambda: len(peer.listen()) == sent * len(big))
    assert peer.frames() == [(TEXT, b"x" * 60_000)] * sent
    assert world.clients.send(fd, big)


def test_leaving_is_not_being_lost(world: World) -> None:
    peer = world.with_one()
    world.clients.leave(world.ins[0])
    assert (world.clients.live, world.outs, world.clients.losses) == ({}, [], {})
    assert peer.listen() == b""
    assert peer.socket.recv(1) == b""
