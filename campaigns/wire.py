"""Socket.IO clients as light as they can be: a socket and a few numbers each."""

from __future__ import annotations

import errno
import os
import socket as sockets
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from campaigns.fleet import Fleet

READ: Final = 65_536
_BUSY: Final = {errno.EINPROGRESS, errno.EAGAIN}
# A frame may be masked with nothing (RFC 6455 section 5.3 asks for chance; this client is a test).
_UPGRADE: Final = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)


def frame(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + data


class Client:
    """Over WebSocket. `joined` from its CONNECT answer to its end; `last` has the number heard last
    of each stream.
    """

    __slots__ = ("buffer", "fd", "fleet", "heard", "joined", "last", "number", "socket", "tries")

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet = fleet
        self.number = number
        self.tries = 0
        self.fd = -1
        self.socket: sockets.socket | None = None
        self.joined = False
        self.buffer = b""
        self.heard = 0.0
        self.last: dict[int, int] = {}

    @property
    def is_probe(self) -> bool:
        return self.fleet.is_probe(self.number)

    # The connection

    def connect(self) -> None:
        made = self.socket = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(sockets.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT (ip(7))
        made.bind((self.fleet.source(), 0))
        self.fd, self.buffer, self.joined = made.fileno(), b"", False
        error = made.connect_ex(self.fleet.address)
        if error and error not in _BUSY:
            self.ended()
            return
        self.fleet.watch(self)

    def begin(self) -> None:
        """It is connected."""
        probe = str(self.is_probe).lower()
        auth = f'{{"number":{self.number},"probe":{probe}}}'
        self.write(_UPGRADE.format(host=self.fleet.host).encode() + frame("40" + auth))

    def write(self, data: bytes) -> None:
        try:
            os.write(self.fd, data)
        except OSError:
            self.ended()

    def say(self, text: str) -> None:
        self.write(frame(text))

    def close(self) -> None:
        """From this side."""
        if self.socket is not None:
            self.fleet.forget(self)
            self.socket.close()
            self.socket, self.fd, self.joined = None, -1, False

    def ended(self) -> None:
        """From the other."""
        if self.fd >= 0:
            was_joined = self.joined
            self.close()
            self.last = {}
            self.fleet.lost(self, was_joined)

    def readable(self) -> None:
        try:
            data = os.read(self.fd, READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended()
            return
        self.received(self.buffer + data if self.buffer else data)

    # What it hears

    def received(self, data: bytes) -> None:
        if data.startswith(b"HTTP"):
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.buffer = head
                return
            if b" 101 " not in head[:16]:
                self.ended()
                return
        self.buffer = self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        """Read frames; what is left of the last one."""
        at, end = 0, len(data)
        while end - at >= 2 and self.fd >= 0:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            if start + size > end:
                break
            if data[at] & 15 == 8:
                self.ended()
                return b""
            at = start + size
            self.packet(data[start:at])
        return data[at:]

    def packet(self, data: bytes) -> None:
        if data.startswith(b"42["):
            self.fleet.shouted(self, data)
        elif data == b"2":
            self.say("3")
        elif data.startswith(b"43"):
            self.fleet.acked(self, data)
        elif data.startswith(b"40"):
            self.joined, self.tries = True, 0
            self.fleet.joined(self)
        elif data.startswith(b"41"):
            self.ended()


class Poller(Client):
    """Over long-polling, one request after the other on one connection."""

    __slots__ = ("sid", "to_post")

    def begin(self) -> None:
        self.sid = ""
        self.to_post: list[str] = []
        self._ask()

    def say(self, text: str) -> None:
        self.to_post.append(text)

    def _ask(self) -> None:
        """The next request: what is to be said, or a poll."""
        target = "/socket.io/?EIO=4&transport=polling" + (f"&sid={self.sid}" if self.sid else "")
        body = "\x1e".join(self.to_post)
        self.to_post = []
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        method = "POST" if body else "GET"
        self.write(
            f"{method} {target} HTTP/1.1\r\nHost: {self.fleet.host}\r\n{length}\r\n{body}".encode()
        )

    def received(self, data: bytes) -> None:
        head, end, body = data.partition(b"\r\n\r\n")
        fields: Any = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(fields or 0):
            self.buffer = data
            return
        self.buffer = b""
        if b" 200 " not in head[:16]:
            self.ended()
            return
        for packet in [] if body == b"ok" else body.split(b"\x1e"):
            self._heard(packet)
        if self.fd >= 0:
            self._ask()

    def _heard(self, packet: bytes) -> None:
        if packet.startswith(b"0"):
            self.sid = packet.partition(b'"sid":"')[2].partition(b'"')[0].decode()
            self.say(f'40{{"number":{self.number}}}')
        elif packet == b"1":
            self.ended()
        else:
            self.packet(packet)
