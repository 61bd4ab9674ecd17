"""A Room: the sockets of one namespace that get the same events."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hocket.hub.connection import Connection

if TYPE_CHECKING:
    from hocket.hub.fanout import Fanout
    from hocket.hub.socket import Socket


class Room:
    """Members by socket id, and the fan-outs to this room that are under way.

    `snapshot` is the list of connections that fan-outs share; it is made when asked for and
    forgotten when the members change. `hidden`: it is the server's own, and not among a socket's
    `rooms`.
    """

    hidden: ClassVar[bool] = False
    __slots__ = ("_snapshot", "members", "name", "pending")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Socket] = {}
        self.pending: list[Fanout] = []
        self._snapshot: list[Connection] | None = None

    def add(self, socket: Socket) -> None:
        self.members[socket.id] = socket
        self._snapshot = None

    def discard(self, socket: Socket) -> None:
        if self.members.pop(socket.id, None):
            self._snapshot = None

    def changed(self) -> None:
        """A member's connection is another one now."""
        self._snapshot = None

    def snapshot(self) -> list[Connection]:
        if self._snapshot is None:
            self._snapshot = [socket.end for socket in self.members.values()]
        return self._snapshot
