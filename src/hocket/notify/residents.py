"""Who of a worker's clients is told of notifications: by user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from hocket.hub.connection import Connection
from hocket.hub.room import Room
from hocket.hub.socket import Socket
from hocket.store.taste import Subject, Taste

UNNAMED: Final = ""  # a room of the server's own, as a namespace's `everyone` is: not in `rooms`


class Resident:
    """A user who is connected here. `number`: see store/base.py; `sockets`: the user's."""

    __slots__ = ("number", "sockets")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sockets: tuple[Socket, ...] = ()


class Residents(Room):
    """The room of all of them, so that what is told to everybody is one fan-out. It has no members
    by socket id: they are in `users`.

    Attributes:
        coming: users of sockets that are on their way in, and how many.
        tastes: of those, here or on their way in, who do not want to be told everything.
    """

    __slots__ = ("coming", "highest", "tastes", "users")
    hidden = True

    def __init__(self) -> None:
        super().__init__(UNNAMED)
        self.users: dict[str, Resident] = {}
        self.coming: Counter[str] = Counter()
        self.tastes: dict[str, Taste] = {}
        self.highest = 0  # of all numbers that were ever here: whether `up_to` need look at all

    def enter(self, socket: Socket, number: int) -> None:
        """A socket of a user is told from now on, and of nothing from before."""
        resident = self.users.get(socket.user)
        if resident is None:
            resident = self.users[socket.user] = Resident(number)
            self.highest = max(self.highest, number)
        resident.sockets += (socket,)
        socket.nsp.hub.fanout.catch_up(socket.end)
        socket.joined += (self,)
        self.changed()

    def discard(self, socket: Socket) -> None:
        """What the hub calls when a socket ends."""
        user = socket.user
        resident = self.users.get(user)
        if resident is None or socket not in resident.sockets:  # the app has renamed it since
            user, resident = next(
                (each for each in self.users.items() if socket in each[1].sockets), (user, None)
            )
        if resident is not None:
            resident.sockets = tuple([other for other in resident.sockets if other is not socket])
            if not resident.sockets:
                del self.users[user]
                self._forget(user)
        self.changed()

    @contextmanager
    def expecting(self, user: str) -> Generator[None]:
        """While a socket of the user is on its way in."""
        self.coming[user] += 1
        try:
            yield
        finally:
            self.coming[user] -= 1
            if not self.coming[user]:
                del self.coming[user]
                self._forget(user)

    def knows(self, user: str) -> bool:
        """Whether the user is here, or on the way in."""
        return user in self.users or user in self.coming

    def like(self, user: str, taste: Taste | None) -> None:
        """What a user who is known wants; None: everything."""
        self.tastes.pop(user, None)
        if taste is not None and self.knows(user):
            self.tastes[user] = taste

    def _forget(self, user: str) -> None:
        if not self.knows(user):
            self.tastes.pop(user, None)

    def unwilling(self, subject: Subject) -> set[str]:
        """The users who do not want to be told of this."""
        return {user for user, taste in self.tastes.items() if not taste.wants(subject)}

    def sockets(self) -> Iterator[Socket]:
        for resident in self.users.values():
            yield from resident.sockets

    def snapshot(self) -> list[Connection]:
        if self._snapshot is None:
            self._snapshot = [socket.end for socket in self.sockets()]
        return self._snapshot

    def up_to(self, number: int) -> list[Socket]:
        """Those whose users were there when `number` was taken."""
        found = self.users.values()
        return [socket for each in found if each.number <= number for socket in each.sockets]

    def of(self, users: Iterable[str]) -> list[Socket]:
        """The sockets of these users."""
        found = [self.users[user] for user in users if user in self.users]
        return [socket for resident in found for socket in resident.sockets]
