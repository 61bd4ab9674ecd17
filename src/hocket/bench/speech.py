"""What clients say: the frames of one process, and the messages in them.

A message is a text `@<at>@<number>@xxx`: when it was meant to be sent (nanoseconds of the machine's
monotonic clock, which all processes share), and which one it is. It comes back inside whatever the
server wraps around it, so answers are recognised without their JSON being parsed.
"""

from __future__ import annotations

import os
from binascii import b2a_base64

from msgspec import json

from hocket.bench.plan import Plan
from hocket.protocol.websocket import TEXT
from hocket.protocol.websocket_client import masked_frame

MOST = 1 << 62  # of what a message of ours can say
EVERYBODY = "everybody"  # the room that all clients ask to be in


def message(at: int, number: int, size: int) -> bytes:
    """A message of `size` bytes, or a little more where that is too short."""
    return (b"@%d@%d@" % (at, number)).ljust(size, b"x")


def read(text: bytes) -> tuple[int, int] | None:
    """When the message in `text` was meant to be sent, and its number; None: there is none."""
    parts = text.split(b"@", 3)
    try:
        at, number = int(parts[1]), int(parts[2])
    except (IndexError, ValueError):
        return None
    return (at, number) if 0 < at < MOST and 0 <= number < MOST else None


class Speech:
    """Makes what clients send. The masking key is one for a process: what a key protects from, a
    proxy that is fooled by what a script chose to send (RFC 6455 section 10.3), cannot happen here.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.key = b2a_base64(os.urandom(16), newline=False)
        self._mask = os.urandom(4)
        self.host = plan.target.host.encode("idna" if not plan.target.host.isascii() else "ascii")
        self.pong = self.frame(b"3")
        self._space = b"" if plan.namespace == "/" else plan.namespace.encode() + b","

    def frame(self, payload: bytes, opcode: int = TEXT) -> bytes:
        return masked_frame(opcode, payload, self._mask)

    def target(self, transport: str, sid: str = "") -> bytes:
        """Path and query of a request."""
        if self.plan.raw:
            query = self.plan.target.query
            return (self.plan.target.path + (f"?{query}" if query else "")).encode()
        words = [self.plan.target.query, "EIO=4", f"transport={transport}", sid and f"sid={sid}"]
        return f"{self.plan.path}?{'&'.join(filter(None, words))}".encode()

    @property
    def joined(self) -> bytes:
        """How the answer begins that lets a client in."""
        return b"40" + self._space

    @property
    def left(self) -> bytes:
        """What an app says that disconnects a client from the namespace."""
        return b"41" + self._space

    def joining(self, number: int) -> bytes:
        """The packet with which a client asks to be let in, as who it is."""
        auth = {"user": f"bench-{number}", "rooms": [EVERYBODY, self.room(number)]}
        return b"40" + self._space + json.encode({**auth, **self.plan.auth})

    def room(self, number: int) -> str:
        """The room of a client."""
        return f"room-{number % self.plan.rooms}"

    def event(self, name: str, text: bytes, *words: str) -> bytes:
        """The frame of an event with a message; `words`: arguments before it. Plain WebSocket has
        no events: there it is the message alone.
        """
        if self.plan.raw:
            return self.frame(text)
        quoted = b'","'.join([word.encode() for word in (name, *words)])
        return self.frame(b'42%b["%b","%b"]' % (self._space, quoted, text))

    @property
    def goodbye(self) -> bytes:
        """What a client says before it leaves."""
        return b"" if self.plan.raw else self.frame(b"41" + self._space)
