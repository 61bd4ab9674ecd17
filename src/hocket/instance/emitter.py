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
from hocket.hub.target import at_least_one, checked, event_packet
from hocket.instance.desk import connect


class Line:
    """The connection to a server, made when it is needed, and again when it has ended."""

    def __init__(self, run_dir: str | os.PathLike[str], timeout: float) -> None:
        self._run_dir = run_dir
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._socket: sockets.socket | None = None

    def send(self, message: Message) -> None:
        data = framed(encode(message))
        self._leave_parent()
        with self._lock:
            try:
                self._send(data)
            except TimeoutError:
                self._close()  # part of it may be on its way: nothing may follow that
                raise Overloaded(f"the server took nothing for {self._timeout} s") from None
            except BaseException:  # such as a signal's: half a message may be on its way
                self._close()
                raise

    def _leave_parent(self) -> None:
        """After a fork: two processes that write to one connection would mix what they say, and
        a lock that another thread had stays locked here.
        """
        if self._process != os.getpid():
            self._lock = threading.Lock()
            self._close()
            self._process = os.getpid()

    def _send(self, data: bytes) -> None:
        if self._socket is not None and not self._has_ended(self._socket):
            try:
                self._socket.sendall(data)
                return
            except TimeoutError:
                raise
            except OSError:  # it has just ended: another may be there by now
                pass
        self._close()
        self._socket = connect(self._run_dir, "emit", self._timeout)
        self._socket.settimeout(self._timeout)
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
        self._leave_parent()
        with self._lock:
            self._close()


def _everyone_in(namespace: str) -> Chosen:
    if not namespace.startswith("/"):
        raise ValueError(f"a namespace's name begins with a slash: {namespace!r}")
    return Chosen(namespace)


class Emitter:
    """Whom events go to, in a running server; immutable, as Target: each method that chooses gives
    a new one. May be used from any thread, and in processes that are forked.

        emitter = hocket.Emitter("/run/chat")
        emitter.to("room-7").emit("news", {"text": "..."})

    Args:
        run_dir: the server's setting of that name.
        namespace: such as "/".
        timeout: seconds that a call waits while the server takes nothing.

    Raises: ValueError for no folder, and for a namespace without a leading slash.

    Methods raise UsageError when no server answers there, Overloaded when it takes nothing for
    `timeout` seconds, TypeError for a room that is no str. At most once: what is on its way when
    the server ends is lost.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str], namespace: str = "/", timeout: float = 5.0
    ) -> None:
        if not os.fspath(run_dir):
            raise ValueError("run_dir is empty: it is the server's setting of that name")
        self._line = Line(run_dir, timeout)
        self._chosen = _everyone_in(namespace)

    def namespace(self, name: str) -> Emitter:
        """Everyone in another namespace. Raises ValueError for a name without a leading slash."""
        return self._but(_everyone_in(name))

    def to(self, *rooms: str) -> Emitter:
        """Whoever is in any of these rooms (str), or has one of these socket ids, too. Raises
        ValueError for no room at all.
        """
        so_far = self._chosen
        rooms = so_far.rooms + at_least_one(rooms)
        return self._but(Chosen(so_far.namespace, rooms, so_far.excluded))

    def except_(self, *rooms: str) -> Emitter:
        """But nobody who is in any of these rooms (str)."""
        so_far = self._chosen
        excluded = so_far.excluded + checked(rooms)
        return self._but(Chosen(so_far.namespace, so_far.rooms, excluded))

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
        self._line.send(Join(self._chosen, checked(rooms)))

    def leave(self, *rooms: str) -> None:
        """Take all of them out of rooms (str)."""
        self._line.send(Leave(self._chosen, checked(rooms)))

    def disconnect(self, close: bool = False) -> None:
        """End all of them; with `close` their whole connections."""
        self._line.send(Disconnect(self._chosen, close))

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        self._line.close()
