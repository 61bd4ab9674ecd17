"""The Hub: Socket.IO on the sessions of one worker."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from hocket.errors import (
    CLIENT_LEFT,
    DISMISSED,
    SERVER_CLOSED,
    SERVER_LEFT,
    ConnectError,
    Overloaded,
    PacketError,
)
from hocket.hub.connection import CLOSED, Connection, StandIn
from hocket.hub.dispatch import Dispatcher, OnError
from hocket.hub.engine import Engine
from hocket.hub.handlers import Handlers
from hocket.hub.namespace import Namespace
from hocket.hub.socket import CONNECTED, CONNECTING, ENDED, Socket
from hocket.protocol import socketio
from hocket.protocol.engineio import EncodedPacket

if TYPE_CHECKING:
    from hocket.broker.base import Broker
    from hocket.hub.elsewhere import Elsewhere
    from hocket.hub.expiry import Expiry
    from hocket.hub.handlers import Handler


class Doorkeeper(Protocol):
    """Whoever wants to know of sockets that `connect` handlers have let in: notifications."""

    def enter(self, socket: Socket, proceed: Callable[[], None]) -> None:
        """`proceed`, now or later, sends the CONNECT answer. Raises ConnectError instead."""

    def flush(self) -> None:
        """Sockets are about to move to another process: do at once what is half done."""

    def seen_by(self, socket: Socket) -> int:
        """What another process's `arrived` must know of a socket; -1: nothing."""

    def arrived(self, socket: Socket, seen: int) -> None:
        """A socket has come from the process before this one."""


MAX_AUTH: Final = 65_536  # bytes of what a client says who it is: it is kept as long as it stays
MAX_ASKED: Final = 10_000  # calls from other threads that may wait for the event loop


class Hub:
    """Namespaces, sockets and rooms of one worker; the Layer that Engine calls.

    Args:
        engine: the sessions.
        static: handlers by namespace name.
        dynamic: handlers by pattern: a name that one matches makes a namespace, which goes when its
            last socket does.
        on_error: see Dispatcher.
    """

    def __init__(
        self,
        engine: Engine,
        static: Mapping[str, Handlers],
        dynamic: Mapping[re.Pattern[str], Handlers],
        on_error: OnError,
    ) -> None:
        self.engine = engine
        self.fanout = engine.fanout
        self.counts = engine.counts
        self.dispatch = Dispatcher(engine.loop, on_error)
        self._event = self.dispatch.event
        self.namespaces: dict[str, Namespace] = {}
        self._static = static
        self._dynamic = dynamic
        self.thread = threading.get_ident()  # the event loop's
        self._lock = threading.Lock()
        self._asked = 0
        self.elsewhere: Elsewhere | None = None
        self.guard: Handler | None = None  # what everybody passes first, in every namespace
        self.doorkeeper: Doorkeeper | None = None
        self.expiry: Expiry | None = None
        self.draining = Counter[str]()  # connections, by sid, that handlers wait for: Socket.drain
        engine.layer = self

    def join_others(self, broker: Broker, takes_over: bool = False) -> None:
        """From now on this is one of several workers. `takes_over`: what one before it has."""
        from hocket.hub.elsewhere import Elsewhere  # lazy: one worker alone needs none of it

        self.elsewhere = Elsewhere(self, broker)
        if takes_over:
            self.elsewhere.keep()

    def check_room(self) -> None:
        """Raises Overloaded while more waits than may, for clients or for another worker."""
        self.fanout.check_room()
        self.check_others()

    def check_others(self) -> None:
        """Raises Overloaded while more waits for another worker than may."""
        if self.elsewhere is not None and self.elsewhere.full:
            raise Overloaded(
                "another worker does not keep up: `await app.drain()` waits until it does"
            )

    def in_loop(self, act: Callable[[], None]) -> None:
        """Do it now in the loop's own thread; from another, soon, in the order of the calls.

        Raises: Overloaded, when other threads have asked for too much that is not done yet.
        """
        if threading.get_ident() == self.thread:
            act()
            return
        with self._lock:
            if self._asked >= MAX_ASKED:
                raise Overloaded(f"{self._asked} calls from threads wait for the event loop")
            self._asked += 1
        self.engine.loop.defer_from_thread(lambda: self._do_asked(act))

    def _do_asked(self, act: Callable[[], None]) -> None:
        with self._lock:
            self._asked -= 1
        act()

    def namespace(self, name: str) -> Namespace | None:
        """A namespace, made on first use; None if nothing was declared that fits the name."""
        found = self.namespaces.get(name)
        if found is None and (handlers := self._static.get(name) or self._match(name)) is not None:
            found = self.namespaces[name] = Namespace(self, name, handlers)
        return found

    def addressed(self, name: str) -> Namespace | None:
        """As `namespace`, for whoever emits: a dynamic one that nobody is in is not kept."""
        if name in self.namespaces or name in self._static:
            return self.namespace(name)
        handlers = self._match(name)
        return None if handlers is None else Namespace(self, name, handlers)

    def _match(self, name: str) -> Handlers | None:
        for pattern, handlers in self._dynamic.items():
            if pattern.fullmatch(name):
                return handlers
        return None

    # What Engine calls

    def opened(self, connection: Connection) -> None:
        """Nothing to do: a client says which namespaces it wants."""

    def text(self, connection: Connection, packet: bytes) -> None:
        if connection.assembler is not None:
            raise PacketError("text came where an attachment was due")
        # HOT: an event in the main namespace without an ack, which is what clients mostly send,
        # needs no Packet and no table of types: 0.8 us of 12 (benchmarks echo).
        if packet.startswith(socketio.PLAIN_EVENT):
            for socket in connection.sockets:
                if socket.state == CONNECTED and socket.nsp.name == "/":
                    self.counts.events_in += 1
                    self._event(socket, socketio.decode_event(packet), None)
                    return
        # HOT: how most clients come in, without a Packet, and their JSON kept as it came: 0.6 us of
        # 57 (benchmarks storm).
        if packet.startswith(socketio.PLAIN_CONNECT):
            auth, as_json = socketio.decode_auth(packet)
            self._connect(connection, "/", auth, as_json or _packed(auth))
            return
        decoded = socketio.decode(packet)
        if decoded.attachments:
            connection.assembler = socketio.Assembler(decoded)
        else:
            self._packet(connection, decoded)

    def binary(self, connection: Connection, data: bytes) -> None:
        if connection.assembler is None:
            raise PacketError("binary came that belongs to no packet")
        packet = connection.assembler.add(data)
        if packet is not None:
            connection.assembler = None
            self._packet(connection, packet)

    def idle(self, connection: Connection) -> bool:
        return not connection.sockets

    def closed(self, connection: Connection, reason: str) -> None:
        for socket in connection.sockets:
            self._end(socket, reason)

    # Packets

    def _packet(self, connection: Connection, packet: socketio.Packet) -> None:
        socket, kind = connection.socket_in(packet.namespace), packet.type
        if kind == socketio.CONNECT:
            auth = packet.data or {}
            self._connect(connection, packet.namespace, auth, _packed(auth))
        elif socket is None or socket.state != CONNECTED:
            raise PacketError(f"the client is not connected to {packet.namespace}")
        elif kind == socketio.EVENT or kind == socketio.BINARY_EVENT:
            self.counts.events_in += 1
            self.dispatch.event(socket, packet.data, packet.id)
        elif kind == socketio.DISCONNECT:
            self.fanout.catch_up(connection)
            self._end(socket, CLIENT_LEFT)
        elif socket.calls and (call := socket.calls.pop(packet.id or 0, None)) is not None:
            call.answer(socket, packet.data)

    def _connect(
        self, connection: Connection, name: str, auth: dict[str, Any], as_json: bytes
    ) -> None:
        if connection.sockets and (before := connection.socket_in(name)) is not None:
            # Who leaves before it has heard that it is in says nothing of that, and comes again:
            # so do clients of React, which mounts everything twice.
            self.fanout.catch_up(connection)
            self._end(before, CLIENT_LEFT)
        is_over = len(connection.sockets) >= self.engine.limits.max_namespaces
        is_long = len(as_json) > MAX_AUTH
        nsp = None if is_over or is_long else self.namespace(name)
        if nsp is None:
            why = f"auth is over {MAX_AUTH} bytes" if is_long else "Invalid namespace"
            if is_over:
                why = f"over {self.engine.limits.max_namespaces} namespaces on one connection"
            self.fanout.send(connection, _refusal_packet(name, ConnectError(why)))
            return
        socket = Socket(self.engine.loop.new_id(), nsp, connection, as_json if auth else b"")
        self.fanout.catch_up(connection)  # in this namespace it gets nothing from before
        connection.sockets += (socket,)
        handled = bool(nsp.handlers.entry) or self.guard is not None
        if handled or self.doorkeeper is not None:
            socket.end = StandIn(socket, self.fanout.seq, self.engine.limits.max_outbox)
        nsp.everyone.add(socket)
        if handled:
            self.dispatch.connect(socket, auth, self._accept, self._refuse, self.guard)
        else:
            self._accept(socket)

    def _accept(self, socket: Socket) -> None:
        """What `connect` handlers let in."""
        if self.doorkeeper is None or socket.state != CONNECTING:
            self._let_in(socket)
            return
        try:
            self.doorkeeper.enter(socket, lambda: self._let_in(socket))
        except ConnectError as error:
            self._refuse(socket, error)

    def _let_in(self, socket: Socket) -> None:
        """The CONNECT answer and behind it, in the same write, all that was held back."""
        if socket.state != CONNECTING:
            return
        connection, stand_in = socket.connection, socket.end
        answer, held, leaves = socketio.connected(socket.nsp.name, socket.id), None, None
        if isinstance(stand_in, StandIn):
            self.fanout.catch_up(stand_in)
            held, leaves = stand_in.packets, stand_in.leaves
            stand_in.outbox = CLOSED
        if held:
            self.fanout.send_all(connection, [EncodedPacket(answer), *held])
        else:
            self.fanout.send_text(connection, answer)
        connection.mark = self.fanout.seq
        socket.end = connection
        socket.state = CONNECTED
        self.dispatch.tell(socket, "connect", transport=connection.transport.name)
        socket.nsp.everyone.changed()
        for room in socket.joined:
            room.changed()
        if leaves is not None:
            self.disconnect(socket, leaves)

    def _refuse(self, socket: Socket, error: ConnectError) -> None:
        if socket.state == CONNECTING:
            self.dispatch.tell(socket, "refused", why=error.message)
            self._end(socket, SERVER_LEFT)
            try:
                packet = _refusal_packet(socket.nsp.name, error)
            except (TypeError, ValueError, RecursionError):
                packet = _refusal_packet(socket.nsp.name, ConnectError(error.message))
            self.fanout.send(socket.connection, packet)

    def disconnect(self, socket: Socket, close: bool) -> None:
        """The server ends a socket, or its whole connection. One whose `connect` handler still runs
        goes when that has let it in, behind all that it was told until now.
        """
        connection, stand_in = socket.connection, socket.end
        if isinstance(stand_in, StandIn) and socket.nsp.handlers.connect is not None:
            self.fanout.catch_up(stand_in)
            stand_in.leave(close)
            return
        for each in connection.sockets if close else (socket,):
            self.dismiss(each)
        if close or not connection.transport.answers:  # who only listens cannot enter another one
            self.engine.close(connection, SERVER_CLOSED)

    def dismiss(self, socket: Socket) -> None:
        """End a socket now; one that is not in yet is refused."""
        if socket.state == CONNECTING:
            self._refuse(socket, ConnectError(DISMISSED))
        elif socket.state != ENDED:  # another one's `disconnect` handler may have ended it
            goodbye = socketio.encode(socketio.DISCONNECT, socket.nsp.name)
            self.fanout.send(socket.connection, goodbye)
            self._end(socket, SERVER_LEFT)

    def _end(self, socket: Socket, reason: str) -> None:
        """The socket is gone: out of its rooms, its calls given up, its `disconnect`
        handler run.
        """
        was, socket.state = socket.state, ENDED
        connection, nsp = socket.connection, socket.nsp
        if socket.end is not connection:
            socket.end.outbox = CLOSED
            socket.end = connection
        connection.sockets = tuple([other for other in connection.sockets if other is not socket])
        nsp.remove(socket)
        calls, socket.calls = socket.calls, None
        for call in (calls or {}).values():
            call.forget(socket)
        if self.expiry is not None:
            self.expiry.forget(socket.id)
        if was == CONNECTED:
            self.dispatch.disconnect(socket, reason)
        if not nsp.sockets and nsp.name not in self._static:
            self.namespaces.pop(nsp.name, None)


def _packed(auth: dict[str, Any]) -> bytes:
    """A dict takes 240 bytes at least, as JSON it takes what it says. Raises PacketError."""
    try:
        return msgspec.json.encode(auth)
    except RecursionError:  # it was just not too deep to be read
        raise PacketError("what a client says who it is lies in too many brackets") from None


def _refusal_packet(namespace: str, error: ConnectError) -> EncodedPacket:
    payload = (
        {"message": error.message}
        if error.data is None
        else {"message": error.message, "data": error.data}
    )
    return socketio.encode(socketio.CONNECT_ERROR, namespace, payload)
