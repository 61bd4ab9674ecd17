"""What the workers of an instance say to each other: one Struct a kind, as MessagePack.

Rooms, and who is left out, travel as names and are looked up by the worker that reads them: it
alone knows who is in them there.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec


class Chosen(msgspec.Struct, array_like=True, frozen=True):
    """Some sockets of a namespace: those in any of `rooms` (none: all) and in none of
    `excluded`. `local`: only clients of the worker that has taken over the sender's.
    """

    namespace: str
    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    local: bool = False


class Packet(msgspec.Struct, array_like=True, frozen=True):
    """A packet as it was encoded where it was emitted; see EncodedPacket."""

    text: bytes
    attachments: list[bytes]
    volatile: bool = False
    compress: bool = True
    cursor: str = ""


class Message(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Base of all kinds."""


class Emit(Message, frozen=True, tag=1):
    """Send a packet."""

    to: Chosen
    packet: Packet


class Join(Message, frozen=True, tag=2):
    """Put them into rooms."""

    who: Chosen
    rooms: tuple[str, ...]


class Leave(Message, frozen=True, tag=3):
    """Take them out of rooms."""

    who: Chosen
    rooms: tuple[str, ...]


class Disconnect(Message, frozen=True, tag=4):
    """End them; with `close` their whole connections."""

    who: Chosen
    close: bool


class Who(Message, frozen=True, tag=5):
    """Which sockets do you have? Answered by Present with the same `id`."""

    id: int
    who: Chosen


class SocketState(msgspec.Struct, array_like=True, frozen=True):
    """What a worker tells of a socket. `head`: of the request that opened its connection. `auth`:
    what its client said then, as JSON.
    """

    id: str
    user: str
    rooms: list[str]
    data: dict[str, Any]
    transport: str
    head: bytes
    address: str
    secure: bool
    opened: float
    auth: bytes
    connected: bool = True


class Present(Message, frozen=True, tag=6):
    """The answer to Who."""

    id: int
    sockets: list[SocketState]


class Call(Message, frozen=True, tag=7):
    """Send a packet and gather the acks, for at most `timeout` seconds. Answered by Called."""

    id: int
    to: Chosen
    packet: Packet
    event: str
    timeout: float


class Called(Message, frozen=True, tag=8):
    """The answer to Call: what acks carried, and how many did not come."""

    id: int
    answers: list[list[Any]]
    missing: int


class Moved(Message, frozen=True, tag=9):
    """Comes with a client's open connection: serve it, beginning with `data`, which it has sent.
    `moves`: how often it has moved with the request that comes first.
    """

    address: str
    over_tls: bool
    data: bytes
    moves: int = 0


class Share(Message, frozen=True, tag=10):
    """How many connections the process has that says so."""

    count: int


class Ping(Message, frozen=True, tag=11):
    """Have you read what I sent before this? Answered by Pong."""

    id: int


class Pong(Message, frozen=True, tag=12):
    """The answer to Ping."""

    id: int


class Leaving(Message, frozen=True, tag=13):
    """From a process that runs mounted applications: send me no more connections."""


class Named(Message, frozen=True, tag=14):
    """Say whose clients they are (`socket.user`)."""

    who: Chosen
    user: str


Act = Emit | Join | Leave | Disconnect | Named  # what is done to sockets, wherever they are
Question = Who | Call | Ping
Answer = Present | Called | Pong
AnyMessage = Act | Question | Answer | Moved | Share | Leaving

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Any) -> bytes:
    """A message, or a value of one. Raises TypeError, ValueError or RecursionError for what
    MessagePack cannot hold. An integer of more than 64 bits, which a
    client's JSON may have, becomes what it is to JavaScript: a double.
    """
    try:
        return _encoder.encode(message)
    except OverflowError:
        return _encoder.encode(_in_doubles(message))


def _in_doubles(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return type(value)(*[_in_doubles(getattr(value, each)) for each in value.__struct_fields__])
    if isinstance(value, dict):
        return {key: _in_doubles(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_doubles(each) for each in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else math.copysign(math.inf, value > 0 or -1)
    return value


def decode(data: bytes) -> AnyMessage:
    """Raises msgspec.DecodeError."""
    message: AnyMessage = _decoder.decode(data)
    return message
