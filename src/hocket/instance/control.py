"""What the supervisor and its workers say to each other, and how a worker learns what it is."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

import msgspec

VARIABLE: Final = "HOCKET_WORKER"  # of the environment of a worker; users do not set it


class Message(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Base of all kinds."""


class Ready(Message, frozen=True, tag=1):
    """From a worker: the app is there and has run its `on_startup`."""


class Peer(Message, frozen=True, tag=2):
    """To a worker, with an open socket: the way to the worker of that number."""

    number: int


class Open(Message, frozen=True, tag=3):
    """To a worker: let clients in."""


class Stop(Message, frozen=True, tag=4):
    """To a worker: say goodbye to everybody and end."""


class GiveWay(Message, frozen=True, tag=5):
    """To a worker, with an open socket: give all that you have to the process at its other end."""


class Took(Message, frozen=True, tag=6):
    """From a worker: all that the process before it had is here."""


class Hear(Message, frozen=True, tag=7):
    """To a worker, with the connection of an Emitter."""


AnyMessage = Ready | Peer | Open | Stop | GiveWay | Took | Hear

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes) -> AnyMessage:
    """Raises msgspec.DecodeError."""
    message: AnyMessage = _decoder.decode(data)
    return message


class Place(NamedTuple):
    """A worker's: its number, and the fds of its socket to the supervisor, of the listening socket,
    and of the socket to the process whose place it takes (-1: none).
    """

    number: int
    control: int
    listener: int
    old: int = -1

    def environment(self) -> dict[str, str]:
        """What tells a process that it is this worker."""
        return {**os.environ, VARIABLE: ":".join(map(str, self))}


def place() -> Place | None:
    """Which worker this process is; None: none of a supervisor. Told once: the processes that an
    app starts must not take themselves for a worker.
    """
    text = os.environ.pop(VARIABLE, "")
    return Place(*map(int, text.split(":"))) if text else None
