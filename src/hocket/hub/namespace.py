"""A Namespace as it runs in one worker: who is connected to it, and its rooms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hocket.hub.connection import Connection
from hocket.hub.handlers import Handlers
from hocket.hub.room import Room

if TYPE_CHECKING:
    from hocket.hub.hub import Hub
    from hocket.hub.socket import Socket


class Namespace:
    """Sockets and rooms of one namespace. `everyone` is the room that all its sockets are in."""

    __slots__ = ("ack_ids", "everyone", "handlers", "hub", "name", "rooms", "sockets")

    def __init__(self, hub: Hub, name: str, handlers: Handlers) -> None:
        self.hub = hub
        self.name = name
        self.handlers = handlers
        self.everyone = Room("")
        self.sockets: dict[str, Socket] = self.everyone.members
        self.rooms: dict[str, Room] = {}
        self.ack_ids = 0

    def next_ack_id(self) -> int:
        self.ack_ids += 1
        return self.ack_ids

    def join(self, socket: Socket, names: Iterable[str]) -> None:
        """Put a socket into rooms. What is pending for it goes out first: it gets nothing from
        before.
        """
        self.hub.fanout.catch_up(socket.end)
        for name in names:
            if name != socket.id:
                room = self.rooms.get(name)
                if room is None:
                    if not isinstance(name, str):  # what a client sent, most likely
                        raise TypeError(f"a room is a str, not {name!r}")
                    room = self.rooms[name] = Room(name)
                if room not in socket.joined:
                    room.add(socket)
                    socket.joined += (room,)

    def leave(self, socket: Socket, names: Iterable[str]) -> None:
        """Take a socket out of rooms. What is pending for it goes out first: it gets everything
        from before.
        """
        self.hub.fanout.catch_up(socket.end)
        gone = set(names)
        left = [room for room in socket.joined if room.name in gone and not room.hidden]
        for room in left:
            self._forget(room, socket)
        socket.joined = tuple([room for room in socket.joined if room not in left])

    def remove(self, socket: Socket) -> None:
        """The socket has ended. O(its rooms). `socket.joined` stays, so that a `disconnect` handler
        can see it.
        """
        self.everyone.discard(socket)
        for room in socket.joined:
            self._forget(room, socket)

    def _forget(self, room: Room, socket: Socket) -> None:
        room.discard(socket)
        if not room.members and self.rooms.get(room.name) is room:
            del self.rooms[room.name]

    def resolve(self, names: Iterable[str]) -> tuple[list[Room], list[Socket]]:
        """Room names to rooms and single sockets; no name at all is everyone. A socket's id is a
        room that it is always in.
        """
        rooms, sockets = [], []
        for name in dict.fromkeys(names):
            if (room := self.rooms.get(name)) is not None:
                rooms.append(room)
            if (socket := self.sockets.get(name)) is not None:
                sockets.append(socket)
        return rooms, sockets

    def select(self, names: Iterable[str], excluded: Iterable[str]) -> list[Socket]:
        """The sockets in any of the rooms `names` (none: all) and in none of `excluded`."""
        out = {socket.id for socket in self._sockets_in(excluded)}
        chosen = self._sockets_in(names) if names else list(self.sockets.values())
        return [socket for socket in chosen if socket.id not in out]

    def _sockets_in(self, names: Iterable[str]) -> list[Socket]:
        rooms, sockets = self.resolve(names)
        return list(
            dict.fromkeys([socket for room in rooms for socket in room.members.values()] + sockets)
        )

    def connections(self, names: Iterable[str]) -> list[Connection]:
        return [socket.end for socket in self._sockets_in(names)]
