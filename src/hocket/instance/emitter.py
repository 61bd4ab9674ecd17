"""hocket.Emitter: events from other processes of this machine: Celery, a cron job, Django."""

from __future__ import annotations

import os
import select
import socket as sockets
import threading
from typing import Any

from hocket.broker.channel import framed
from hocket.broker.messages import Chosen, Disconnect, Emit, Join, Leave, Message, encode
from hocket.errors import Overloaded
from hocket.hub.elsewhere import pack
from hocket.hub.target import event_packet
from hocket.instance.desk import connect


class Line:
    """The connection to a server, made when it is needed, and again when it has ended."""

    def __init__(self, run_dir: str | os.PathLike[str], timeout: float) -> None:
        self._run_dir = run_dir
        self._timeout = timeout
        self._lock = threading.Lock()
        self._socket: sockets.socket | None = None

    def send(self, message: Message) -> None:
        data = framed(encode(message))
        with self._lock:
            fresh = self._socket is None or self._has_ended(self._socket)
            try:
                self._send(data, fresh)
            except TimeoutError:
                self._close()  # part of it may be on its way: nothing may follow that
                raise Overloaded(f"the server took nothing for {self._timeout} s") from None
            except OSError:
                if fresh:
                    raise
                self._send(data, True)

    def _send(self, data: bytes, fresh: bool) -> None:
        if fresh:
            self._close()
            self._socket = connect(self._run_dir, "emit")
            self._socket.settimeout(self._timeout)
        if self._socket is not None:
            self._socket.sendall(data)

    def _has_ended(self, socket: sockets.socket) -> bool:
        """Nothing ever comes from the server but the end."""
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        with self._lock:
            self._close()


class Emitter:
    """Whom events go to, in a running server; immutable, as Target: each method that chooses gives
    a new one. May be used from any thread.

        emitter = hocket.Emitter("/run/chat")
        emitter.to("room-7").emit("news", {"text": "..."})

    Args:
        run_dir: the server's setting of that name.
        namespace: such as "/".
        timeout: seconds that a call waits while the server takes nothing.

    Methods raise UsageError when no server answers there, Overloaded when it takes nothing for
    `timeout` seconds, TypeError for a room that is no str. At most once: what is on its way when
    the server ends is lost.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str], namespace: str = "/", timeout: float = 5.0
    ) -> None:
        self._line = Line(run_dir, timeout)
        self._chosen = Chosen(namespace)

    def namespace(self, name: str) -> Emitter:
        """Everyone in another namespace."""
        return self._but(Chosen(name))

    def to(self, *rooms: str) -> Emitter:
        """Whoever is in any of these rooms (str), or has one of these socket ids, too."""
        chosen, rooms = self._chosen, _names(rooms)
        return self._but(Chosen(chosen.namespace, chosen.rooms + rooms, chosen.excluded))

    def except_(self, *rooms: str) -> Emitter:
        """But nobody who is in any of these rooms (str)."""
        chosen, rooms = self._chosen, _names(rooms)
        return self._but(Chosen(chosen.namespace, chosen.rooms, chosen.excluded + rooms))

    def _but(self, chosen: Chosen) -> Emitter:
        other = Emitter.__new__(Emitter)
        other._line, other._chosen = self._line, chosen
        return other

    def emit(self, event: str, *args: Any) -> None:
        """Send an event. Raises, beside the above, ValueError for a reserved name, TypeError for
        what cannot be encoded.
        """
        packet = event_packet(self._chosen.namespace, event, args)
        self._line.send(Emit(self._chosen, pack(packet)))

    def join(self, *rooms: str) -> None:
        """Put all of them into rooms (str)."""
        self._line.send(Join(self._chosen, _names(rooms)))

    def leave(self, *rooms: str) -> None:
        """Take all of them out of rooms (str)."""
        self._line.send(Leave(self._chosen, _names(rooms)))

    def disconnect(self, close: bool = False) -> None:
        """End all of them; with `close` their whole connections."""
        self._line.send(Disconnect(self._chosen, close))

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        self._line.close()


def _names(rooms: tuple[str, ...]) -> tuple[str, ...]:
    for room in rooms:
        if not isinstance(room, str):
            raise TypeError(f"a room is a str, not {room!r}")
    return rooms
