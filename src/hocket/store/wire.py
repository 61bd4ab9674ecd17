"""How operations travel over the socket of a store: frames of a length (four bytes, little-endian)
and MessagePack. A client sends `[id, operation]`; it gets `[id, kind, body]`, in the order in which
it asked, and events with the id 0.
"""

from __future__ import annotations

import functools
import operator
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from hocket.store import base
from hocket.store.base import Conflict, Event, Operation, StoreError

SOCKET: Final = "store.sock"
LONGEST: Final = 33_554_432  # bytes of a frame; 100,000 users with long names fit
ANSWER, CONFLICT, NOT_NOW, WRONG, EVENT = range(5)  # kinds

_HEAD: Final = struct.Struct("<I")


class Subscribe(Operation[int], frozen=True):
    """Events from here on, on this connection. The answer is the seq after which they begin."""

    after: int | None = None
    Answer: ClassVar[Any] = int


OPERATIONS: Final[tuple[type[Operation[Any]], ...]] = (
    Subscribe,
    *(
        each
        for each in vars(base).values()
        if isinstance(each, type) and issubclass(each, Operation) and each is not Operation
    ),
)


class Request(msgspec.Struct, array_like=True):
    id: int
    operation: functools.reduce(operator.or_, OPERATIONS)  # type: ignore[valid-type]


class Reply(msgspec.Struct, array_like=True):
    id: int
    kind: int
    body: msgspec.Raw = msgspec.Raw(b"")


_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)
_events = msgspec.msgpack.Decoder(Event)
_answers = {each: msgspec.msgpack.Decoder(each.Answer) for each in OPERATIONS}


class Broken(Exception):
    """What came is no frame of ours."""


def encode_request(id: int, operation: Operation[Any]) -> bytes:
    """Raises: ValueError when it is too long."""
    frame = _frame(_encoder.encode((id, operation)))
    if len(frame) > LONGEST:
        raise ValueError(f"this operation is longer than {LONGEST} bytes")
    return frame


def decode_request(frame: bytes) -> tuple[int, Operation[Any]]:
    """Raises: Broken."""
    try:
        request = _requests.decode(frame)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Broken(str(error)) from None
    return request.id, request.operation


def encode_answer(id: int, answer: Any) -> bytes:
    """An answer, or the exception instead of one."""
    match answer:
        case Conflict():
            said = _encoder.encode((id, CONFLICT, (answer.code, str(answer))))
        case StoreError():
            said = _encoder.encode((id, NOT_NOW, str(answer)))
        case Exception():
            said = _encoder.encode((id, WRONG, str(answer)))
        case _:
            said = _encoder.encode((id, ANSWER, answer))
    if len(said) > LONGEST:
        return encode_answer(id, ValueError(f"more than {LONGEST} bytes; take a smaller limit"))
    return _frame(said)


def encode_event(event: Event) -> bytes:
    return _frame(_encoder.encode((0, EVENT, event)))


def decode_reply(frame: bytes) -> Reply:
    """Raises: msgspec.DecodeError."""
    return _replies.decode(frame)


def answer_of(operation: Operation[Any], reply: Reply) -> Any:
    """Raises: what the store raised."""
    if reply.kind == ANSWER:
        return _answers[type(operation)].decode(reply.body)
    if reply.kind == CONFLICT:
        raise Conflict(*msgspec.msgpack.decode(reply.body, type=tuple[str, str]))
    message = msgspec.msgpack.decode(reply.body, type=str)
    raise (StoreError if reply.kind == NOT_NOW else ValueError)(message)


def event_of(reply: Reply) -> Event:
    event: Event = _events.decode(reply.body)
    return event


def _frame(body: bytes) -> bytes:
    return _HEAD.pack(len(body)) + body


class Frames:
    """Bytes, as they come, to frames."""

    def __init__(self) -> None:
        self._buffer = b""

    def take(self, data: bytes) -> Iterator[bytes]:
        """Raises: Broken when a frame is too long."""
        at, data = 0, self._buffer + data if self._buffer else data
        while len(data) - at >= _HEAD.size:
            (length,) = _HEAD.unpack_from(data, at)
            if length > LONGEST:
                raise Broken(f"a frame of {length} bytes")
            if len(data) - at - _HEAD.size < length:
                break
            start = at + _HEAD.size
            at = start + length
            yield data[start:at]
        self._buffer = data[at:]


class Address:
    """Of a store's socket, in the form that the kernel takes however long the path is (unix(7)
    knows 108 bytes); for the time of a `with`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(path := self._directory / SOCKET)) < 100:
            return str(path)
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._fd}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
