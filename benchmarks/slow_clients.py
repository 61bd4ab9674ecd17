"""Clients that hold a server up: half heads, slow bodies, connections that rest, deflate bombs."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hocket.versus.processes import LOAD_CORE, FailedError

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
BODY = 1000  # bytes that a slow body promises
TRICKLE = 1.0  # seconds between two bytes of each
BOMB = 64 << 20  # zeros in one compressed message; they come as 64 KB
BOMBS_PER_SECOND = 1


@dataclass
class SlowClients:
    """Connections to one server. `senders` send a byte a second, and never get to the end."""

    port: int
    resting: list[socket.socket] = field(default_factory=list)
    senders: list[socket.socket] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def rest(self, count: int) -> None:
        """Ask once, keep the connection alive, and rest."""
        for _ in range(count):
            client = self.connect()
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            if not client.recv(4096):
                raise FailedError("the server closes connections that should be kept alive")
            self.resting.append(client)

    def half_heads(self, count: int) -> None:
        for _ in range(count):
            client = self.connect()
            client.sendall(HALF_HEAD)
            self.senders.append(client)

    def slow_bodies(self, count: int) -> None:
        """Each posts to a session of its own."""
        for _ in range(count):
            client = self.connect()
            client.sendall(
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            )
            client.sendall(_post(_sid(client)))
            self.senders.append(client)

    def held(self) -> int:
        """How many the server has not closed."""
        return sum(1 for client in (*self.resting, *self.senders) if not _closed(client))

    def trickle(self, stop: threading.Event) -> None:
        os.sched_setaffinity(0, {LOAD_CORE})  # of this thread
        while not stop.wait(TRICKLE):
            for client in self.senders:
                with suppress(OSError):  # closed by the server: that is its right
                    client.send(b"x")

    def close(self) -> None:
        for client in (*self.resting, *self.senders):
            client.close()


def _sid(client: socket.socket) -> str:
    said = b""
    while not said.endswith((b"}", b"}\r\n0\r\n\r\n")):
        got = client.recv(4096)
        if not got:
            raise FailedError("the server opened no session")
        said += got
    opened = said[said.index(b"0{") + 1 : said.rindex(b"}") + 1]
    return str(json.loads(opened)["sid"])


def _post(sid: str) -> bytes:
    return (
        f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n4"
    ).encode()


def _closed(client: socket.socket) -> bool:
    poll = select.poll()
    poll.register(client, select.POLLIN | select.POLLRDHUP)
    return bool(poll.poll(0))


@contextmanager
def holding_up(port: int, resting: int, half_heads: int, slow_bodies: int) -> Iterator[SlowClients]:
    """Some of each, while the block runs."""
    clients, stop = SlowClients(port), threading.Event()
    trickling = threading.Thread(target=clients.trickle, args=(stop,), daemon=True)
    try:
        clients.half_heads(half_heads)
        clients.slow_bodies(slow_bodies)
        clients.rest(resting)
        trickling.start()
        yield clients
    finally:
        stop.set()
        if trickling.ident is not None:
            trickling.join()
        clients.close()


def _bomb() -> bytes:
    """A masked frame whose message inflates to zeros (RFC 7692 section 7.2.1; RFC 6455 5.2)."""
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(bytes(BOMB)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    payload = data.removesuffix(b"\0\0\xff\xff")
    return b"\xc1\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload


@dataclass
class Bombs:
    """Each from a client of its own, one after the other. `closed` counts the clients that the
    server has closed.
    """

    port: int
    closed: int = 0

    def throw(self, stop: threading.Event) -> None:
        os.sched_setaffinity(0, {LOAD_CORE})  # of this thread
        bomb = _bomb()
        while not stop.wait(1 / BOMBS_PER_SECOND):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
                client.sendall(
                    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
                )
                if b"permessage-deflate" not in client.recv(4096):
                    return
                with suppress(OSError):  # closed before it was all sent: that is its right
                    client.sendall(bomb)
                    while client.recv(4096):
                        pass
            self.closed += 1


@contextmanager
def bombing(port: int) -> Iterator[Bombs]:
    """Some each second, while the block runs."""
    bombs, stop = Bombs(port), threading.Event()
    throwing = threading.Thread(target=bombs.throw, args=(stop,), daemon=True)
    throwing.start()
    try:
        yield bombs
    finally:
        stop.set()
        throwing.join()
