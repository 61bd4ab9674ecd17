"""What was said in chat rooms last, in memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from sys import getsizeof
from typing import Final

import msgspec

LAST: Final = 50  # messages that a room remembers
MOST: Final = 67_108_864  # bytes of all rooms; the one in which nothing was said for longest goes
_BESIDE: Final = 500  # bytes of a message beside its text: its id, its room, its place


class Message(msgspec.Struct, frozen=True):
    """What somebody said: `timestamp` in milliseconds since 1970."""

    id: str
    room: str
    user: str
    text: str
    timestamp: int


class History:
    """Of all rooms.

    Args:
        clock: seconds since 1970.
        new_id: makes ids of messages.
        most: bytes that all messages may take.
    """

    def __init__(
        self, clock: Callable[[], float], new_id: Callable[[], str], most: int = MOST
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._most = most
        self._size = 0
        self._rooms: OrderedDict[str, deque[Message]] = OrderedDict()

    def say(self, room: str, user: str, text: str) -> Message:
        """Somebody says something."""
        message = Message(self._new_id(), room, user, text, int(self._clock() * 1000))
        said = self._rooms.setdefault(room, deque())
        self._rooms.move_to_end(room)
        said.append(message)
        self._size += _size(message)
        if len(said) > LAST:
            self._size -= _size(said.popleft())
        while self._size > self._most and len(self._rooms) > 1:
            _, forgotten = self._rooms.popitem(last=False)
            self._size -= sum(map(_size, forgotten))
        return message

    def of(self, room: str) -> list[Message]:
        """The oldest first."""
        return list(self._rooms.get(room, ()))


def _size(message: Message) -> int:
    return getsizeof(message.text) + _BESIDE
