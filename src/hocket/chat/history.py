"""Chat rooms in memory: members by name, and the last messages."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

HISTORY: Final = 50  # messages that a room remembers
MAX_ROOMS: Final = (
    10_000  # rooms that are remembered; of the empty ones the longest unused is forgotten first
)


class Message(msgspec.Struct, frozen=True):
    """What somebody said: `timestamp` in milliseconds since 1970."""

    id: str
    room: str
    user: str
    text: str
    timestamp: int


class ChatRoom:
    """One room. Somebody with two tabs is there twice and counts once."""

    __slots__ = ("history", "name", "present")

    def __init__(self, name: str) -> None:
        self.name = name
        self.present: Counter[str] = Counter()
        self.history: deque[Message] = deque(maxlen=HISTORY)


class ChatRooms:
    """All rooms.

    Args:
        clock: seconds since 1970.
        new_id: makes ids of messages.
        max_rooms: how many are remembered.
    """

    def __init__(
        self, clock: Callable[[], float], new_id: Callable[[], str], max_rooms: int = MAX_ROOMS
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._max_rooms = max_rooms
        self._rooms: OrderedDict[str, ChatRoom] = OrderedDict()

    def enter(self, name: str, user: str) -> tuple[bool, ChatRoom]:
        """Somebody comes; whether the room did not have that name among its members before, and the
        room.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = ChatRoom(name)
            self._forget_unused()
        self._rooms.move_to_end(name)
        room.present[user] += 1
        return room.present[user] == 1, room

    def leave(self, name: str, user: str) -> bool:
        """Somebody goes; whether nobody of that name is left."""
        room = self._rooms.get(name)
        if room is None or user not in room.present:
            return False
        room.present[user] -= 1
        if room.present[user] > 0:
            return False
        del room.present[user]
        return True

    def say(self, name: str, user: str, text: str) -> Message:
        """Somebody who is there says something."""
        message = Message(self._new_id(), name, user, text, int(self._clock() * 1000))
        self._rooms[name].history.append(message)
        return message

    def members(self, name: str) -> list[str]:
        room = self._rooms.get(name)
        return sorted(room.present) if room else []

    def summary(self, name: str) -> dict[str, Any]:
        """What somebody who comes in is told."""
        room = self._rooms[name]
        return {"members": sorted(room.present), "history": list(room.history)}

    def occupied(self, most: int) -> list[str]:
        """Names of rooms with people in them, the liveliest of late first."""
        return [room.name for room in reversed(self._rooms.values()) if room.present][:most]

    def _forget_unused(self) -> None:
        if len(self._rooms) > self._max_rooms:
            unused = next(
                (
                    name
                    for name, room in self._rooms.items()
                    if not room.present and name != next(reversed(self._rooms))
                ),
                None,
            )
            if unused is not None:
                del self._rooms[unused]
