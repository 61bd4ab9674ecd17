"""What the supervisor and its processes say to each other."""

from __future__ import annotations

from typing import Final

import msgspec


class Message(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Base of all kinds."""


class Ready(Message, frozen=True, tag=1):
    """From all: it can begin. Of a worker: the app is there and has run its `on_startup`."""


class Peer(Message, frozen=True, tag=2):
    """To all, with an open socket: the way to the process of that number and role."""

    number: int
    role: str


class Open(Message, frozen=True, tag=3):
    """To a worker: let clients in. To others: you know all who are there; say `Took` when they
    know you.
    """


class Stop(Message, frozen=True, tag=4):
    """To all: say goodbye to everybody and end."""


class GiveWay(Message, frozen=True, tag=5):
    """To a worker, with an open socket to the process that is to take its place, which has the pid
    `heir`: say when everybody can move.
    """

    heir: int


class Took(Message, frozen=True, tag=6):
    """From a worker: all that the process before it had is here. From others: everybody knows
    me.
    """


class Hear(Message, frozen=True, tag=7):
    """To a worker, with the connection of an Emitter."""


class Retire(Message, frozen=True, tag=8):
    """To a process that is no worker: another does from now on what this one does. Finish what
    runs, and end.
    """


class Settled(Message, frozen=True, tag=9):
    """From a worker that is to give way: everybody can move."""

    heir: int


class Give(Message, frozen=True, tag=10):
    """To a worker: give all that you have to `heir`. Who has not said in time that everybody can
    move is not told so: its heir may be killed, and must not be given anything any more.
    """

    heir: int


class Gives(Message, frozen=True, tag=11):
    """From a worker: everything moves now."""

    heir: int


class Stays(Message, frozen=True, tag=12):
    """From a worker that is to give way: there is nobody to give to any more, or it is to stop.
    Nothing has moved.
    """

    heir: int


# Numbers of a process: by name, what they are for which labels.
Numbers = dict[str, list[tuple[tuple[str, ...], float]]]


class Count(Message, frozen=True, tag=13):
    """To all that run code of the user: what are your numbers? Answered by Counted."""


class Counted(Message, frozen=True, tag=14):
    """The answer to Count; also the last words of a process, for its counters outlive it."""

    counters: Numbers = {}
    gauges: Numbers = {}


class CountAll(Message, frozen=True, tag=15):
    """From a worker: what are the numbers of all? Answered by AllCounted."""


class AllCounted(Message, frozen=True, tag=16):
    """The answer to CountAll: of each process, and the counters of those that have ended."""

    told: list[Numbers]


AnyMessage = (
    Ready
    | Peer
    | Open
    | Stop
    | GiveWay
    | Took
    | Hear
    | Retire
    | Settled
    | Give
    | Gives
    | Stays
    | Count
    | Counted
    | CountAll
    | AllCounted
)

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes) -> AnyMessage:
    """Raises msgspec.DecodeError."""
    message: AnyMessage = _decoder.decode(data)
    return message
