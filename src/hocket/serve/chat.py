"""`hocket serve`: the chat, as events.

    client sends                answered with                      members of the room get
    join {room}                 {members, history}                 members {room, joined, count}
    leave {room}                {}                                 members {room, left, count}
    message {room, text}        {id}                               message {id, room, user, text,
    timestamp}
    typing {room}               -                                  typing {room, user}, volatile,
    not to the sender

What is refused is answered with {error}. After connecting, a client gets `welcome {user, rooms,
guests, inbox}`; `inbox`: it has one, over the REST API.

Who is in a room is who has a socket in it: after a reload the same sockets are in the same rooms.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

import msgspec

from hocket.app import App
from hocket.chat.history import History
from hocket.hub.ids import Ids
from hocket.hub.socket import Socket

MAX_ROOMS_EACH: Final = 50  # rooms that one client may be in
WELCOME_ROOMS: Final = 20  # rooms that a newcomer is told of
PREFIX: Final = "chat:"

RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class InRoom(msgspec.Struct):
    """What `join`, `leave` and `typing` carry."""

    room: RoomName


class Said(msgspec.Struct):
    """What `message` carries."""

    room: RoomName
    text: Text


class Refusal(Exception):
    """The client is told why not."""


T = TypeVar("T")


def read(data: Any, kind: type[T]) -> T:
    """What a client sent, checked; raises Refusal."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise Refusal(str(error)) from None


def chat_room(name: str) -> str:
    """The Socket.IO room of a chat room: prefixed, so that no chat room can be named like
    a socket.
    """
    return PREFIX + name


class Chat:
    """The chat on an app.

    Args:
        app: where its events are registered.
        guests: clients choose a name; else who they are was found out before they come here.
        inbox: users have one. Guests have none, and are told no notifications: anybody could open
            it by its name (App.has_guests).
    """

    def __init__(self, app: App, guests: bool, inbox: bool = False) -> None:
        self._app = app
        self._guests = guests
        self._inbox = inbox
        self._new_id = Ids()
        self._history = History(time.time, self._new_id)
        app.on("connect")(self.connect)
        app.on("disconnect")(self.disconnect)
        app.on("join")(self._answering(self.join))
        app.on("leave")(self._answering(self.leave))
        app.on("message")(self._answering(self.message))
        app.on("typing")(self._answering(self.typing))

    def _answering(self, act: Any) -> Any:
        def handler(socket: Socket, data: Any = None) -> dict[str, Any] | None:
            try:
                return act(socket, data)  # type: ignore[no-any-return]
            except Refusal as refusal:
                return {"error": str(refusal)}

        handler.__qualname__ = act.__qualname__
        return handler

    def connect(self, socket: Socket, auth: dict[str, Any]) -> None:
        if self._guests:
            socket.user = self._guest(auth)
        socket.emit(
            "welcome",
            {
                "user": socket.user,
                "rooms": self._occupied(socket),
                "guests": self._guests,
                "inbox": self._inbox,
            },
        )

    def _guest(self, auth: dict[str, Any]) -> str:
        name = auth.get("name")
        name = (
            "".join(char for char in name if char.isprintable()).strip()[:32]
            if isinstance(name, str)
            else ""
        )
        return name or f"guest-{self._new_id()[-4:].lower()}"

    def disconnect(self, socket: Socket, reason: str) -> None:
        for room in sorted(socket.rooms - {socket.id}):
            self._depart(socket, room.removeprefix(PREFIX))

    def join(self, socket: Socket, data: Any) -> dict[str, Any]:
        room = read(data, InRoom).room
        if chat_room(room) not in socket.rooms:
            if len(socket.rooms) > MAX_ROOMS_EACH:
                raise Refusal(f"you are in {MAX_ROOMS_EACH} rooms; leave one first")
            members = self._members(room)
            socket.join(chat_room(room))
            if socket.user not in members:
                self._announce(room, "joined", socket.user)
        return {"members": sorted(self._members(room)), "history": self._history.of(room)}

    def leave(self, socket: Socket, data: Any) -> dict[str, Any]:
        room = self._own_room(socket, read(data, InRoom).room)
        socket.leave(chat_room(room))
        self._depart(socket, room)
        return {}

    def message(self, socket: Socket, data: Any) -> dict[str, Any]:
        said = read(data, Said)
        room = self._own_room(socket, said.room)
        message = self._history.say(room, socket.user, said.text)
        self._app.to(chat_room(room)).emit("message", message)
        return {"id": message.id}

    def typing(self, socket: Socket, data: Any) -> None:
        room = self._own_room(socket, read(data, InRoom).room)
        socket.to(chat_room(room)).volatile.emit("typing", {"room": room, "user": socket.user})

    def _members(self, room: str) -> set[str]:
        """Somebody with two tabs is there twice and counts once."""
        return {socket.user for socket in self._app.to(chat_room(room)).select()}

    def _occupied(self, socket: Socket) -> list[str]:
        """Rooms with people in them, the newest first."""
        names = (name for name in reversed(socket.nsp.rooms) if name.startswith(PREFIX))
        return [name.removeprefix(PREFIX) for name in islice(names, WELCOME_ROOMS)]

    def _own_room(self, socket: Socket, room: str) -> str:
        if chat_room(room) not in socket.rooms:
            raise Refusal("join the room first")
        return room

    def _depart(self, socket: Socket, room: str) -> None:
        if socket.user not in self._members(room):
            self._announce(room, "left", socket.user)

    def _announce(self, room: str, what: str, user: str) -> None:
        count = len(self._members(room))
        self._app.to(chat_room(room)).emit("members", {"room": room, what: user, "count": count})
