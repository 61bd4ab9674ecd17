"""The Socket: one client in one namespace. This is what handlers receive."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hocket.hub.calls import Call
from hocket.hub.connection import Connection
from hocket.hub.handshake import Handshake
from hocket.hub.room import Room
from hocket.hub.target import Target, as_user, at_least_one, checked, event_packet, reserved
from hocket.protocol import socketio
from hocket.protocol.engineio import EncodedPacket

if TYPE_CHECKING:
    from hocket.hub.namespace import Namespace

CONNECTING: Final = 0
CONNECTED: Final = 1
ENDED: Final = 2
MOVED: Final = 3  # another process serves it now; handlers that hold on to it act through that one

LOOK: Final = 0.01  # seconds between two looks at whether a client has taken all


class Socket:
    """One client in one namespace.

    Attributes:
        id: this socket's id (str), also the name of a room that only it is in.
        recovered: whether this socket continues an earlier one with nothing lost (bool).

    Source: Socket.IO server API, class Socket.
    """

    # `connection` is the client's; `end` is where packets for this socket go: the same, or a
    # stand-in while `connect` runs.
    __slots__ = (
        "_data",
        "_user",
        "auth_json",
        "calls",
        "connection",
        "end",
        "id",
        "joined",
        "nsp",
        "state",
    )

    def __init__(self, id: str, nsp: Namespace, connection: Connection, auth: bytes = b"") -> None:
        self.id = id
        self.nsp = nsp
        self.connection = connection
        self.end = connection
        self.joined: tuple[Room, ...] = ()
        self._user = ""
        self.calls: dict[int, Call] | None = None
        self.state = CONNECTING
        self.auth_json = auth
        self._data: dict[str, Any] | None = None

    @property
    def user(self) -> str:
        """Who the client is (str); empty until a handler or the server's identity rules set it.
        None makes it empty. Setting raises TypeError for what is no str: it travels to other
        workers, and to the next process at a reload.
        """
        return self._user

    @user.setter
    def user(self, value: str | None) -> None:
        self._user = as_user(value)
        if self.state == MOVED:
            self.nsp.hub.in_loop(self._tell_user)

    def _tell_user(self) -> None:
        """The process that it has moved to."""
        if (elsewhere := self.nsp.hub.elsewhere) is not None:
            elsewhere.name(Target(self.nsp, (self.id,)), self._user)

    @property
    def recovered(self) -> bool:
        return False

    @property
    def namespace(self) -> str:
        """The namespace's name (str), such as `/`."""
        return self.nsp.name

    @property
    def transport(self) -> str:
        """How bytes reach the client now (str): `websocket` or `polling`."""
        return self.connection.transport.name

    @property
    def connected(self) -> bool:
        """Whether the client is connected to the namespace (bool)."""
        return self.state == CONNECTED or self.state == MOVED

    @property
    def data(self) -> dict[str, Any]:
        """Whatever the application wants to remember of this client (dict)."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def handshake(self) -> Handshake:
        """What the client came with; see Handshake. A new one each time."""
        connection = self.connection
        auth = msgspec.json.decode(self.auth_json) if self.auth_json else None
        return Handshake(
            connection.head, connection.address, connection.opened, connection.secure, auth
        )

    @property
    def rooms(self) -> set[str]:
        """The rooms it is in (set of str), its own id included. In a `disconnect` handler: those it
        was in.
        """
        return {self.id, *self.room_names()}

    def room_names(self) -> list[str]:
        return [room.name for room in self.joined if not room.hidden]

    def all_rooms(self) -> tuple[Room, ...]:
        """Its rooms and the namespace's `everyone`."""
        return (self.nsp.everyone, *self.joined)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event to this client.

        Args:
            event: the event's name.
            args: anything msgspec encodes as JSON, and models of pydantic; `bytes`-like values
                travel as binary.

        Raises: ValueError for a reserved name, TypeError for what cannot be encoded. A client that
        has left gets nothing, silently.
        """
        if event in socketio.RESERVED:
            raise reserved(event)
        nsp = self.nsp
        hub = nsp.hub
        text = socketio.event_text(nsp.name, event, args)
        if text is not None and self.state <= CONNECTED and get_ident() == hub.thread:
            hub.counts.events_out += 1
            hub.fanout.send_text(self.end, text)
            return
        packet = event_packet(nsp.name, event, args) if text is None else EncodedPacket(text)
        hub.in_loop(functools.partial(self.deliver, packet))  # a lambda would cost 0.1 us above

    def deliver(self, packet: EncodedPacket) -> None:
        """A packet for this socket, from the loop's own thread."""
        if self.state == MOVED:
            self._itself.send(packet)
        elif self.state != ENDED:  # its client may be in other namespaces still
            self.nsp.hub.counts.events_out += 1
            self.nsp.hub.fanout.send(self.end, packet)

    async def drain(self) -> None:
        """Wait until the kernel, or a poll, has all that was emitted to this client, or the client
        has gone: whoever sends it much does this in between, for more than `max_outbox` bytes that
        wait end it. A reload moves no client that is waited for so.

        Raises: RuntimeError in its own `connect` handler, before which nothing leaves.
        """
        if self.state == CONNECTING:
            raise RuntimeError("nothing leaves before the connect handler has returned")
        draining = self.nsp.hub.draining
        draining[self.connection.sid] += 1
        try:
            await self.until_taken()
        finally:
            draining[self.connection.sid] -= 1
            if not draining[self.connection.sid]:
                del draining[self.connection.sid]

    async def until_taken(self) -> None:
        """What `drain` waits for. Another process's client has a moment."""
        if self.state == CONNECTED:
            self.nsp.hub.fanout.uncork(self.connection)
        await asyncio.sleep(LOOK if self.state == MOVED else 0)
        while self._is_behind():  # noqa: ASYNC110 - an event would be a field of every outbox
            await asyncio.sleep(LOOK)

    def _is_behind(self) -> bool:
        outbox = self.connection.outbox
        return self.state <= CONNECTED and bool(getattr(outbox, "size", None))

    async def call(self, event: str, *args: Any, timeout: float = 60.0) -> Any:
        """Send an event and wait for the client's ack.

        Args:
            timeout: seconds.

        Returns: the ack's argument; a tuple of several; None of none.
        Raises: CallTimeout, Disconnected; RuntimeError in its own `connect` handler, before which
        no ack can come.
        """
        if self.state == CONNECTING:
            raise RuntimeError("a client cannot answer before its connect handler has returned")
        if self.state == MOVED:
            return await self._itself.one_answer(event, *args, timeout=timeout)
        id = self.nsp.next_ack_id()
        packet = event_packet(self.nsp.name, event, args, id)
        call = Call(id, event, [self])
        self.deliver(packet)
        return await call.one(timeout)

    def join(self, *rooms: str) -> None:
        """Enter rooms (str). It gets what is sent to them from now on, and nothing from before. May
        be called from any thread, as `leave` and `disconnect`: it is done soon, then.

        Raises: TypeError for what is no str.
        """
        if self.state <= CONNECTED and get_ident() == self.nsp.hub.thread:
            self.nsp.join(self, rooms)
        else:
            checked(rooms)
            self._do(lambda: self.nsp.join(self, rooms), lambda moved: moved.join(*rooms))

    def leave(self, *rooms: str) -> None:
        """Leave rooms (str). It still gets what was sent to them before. Raises TypeError for what
        is no str.
        """
        checked(rooms)
        self._do(lambda: self.nsp.leave(self, rooms), lambda moved: moved.leave(*rooms))

    def disconnect(self, close: bool = False) -> None:
        """End this socket; with `close` the whole connection, with all its namespaces. The client
        does not reconnect by itself. While its `connect` handler runs: once that has returned, so
        that the client hears that it was in and what it was told; raise ConnectError to refuse it.
        In a middleware it refuses.
        """
        self._do(
            lambda: self.nsp.hub.disconnect(self, close), lambda moved: moved.disconnect(close)
        )

    def _do(self, here: Callable[[], None], moved: Callable[[Target], None]) -> None:
        """In the loop's own thread, unless the client has gone by then."""

        def do() -> None:
            if self.state == MOVED:
                moved(self._itself)
            elif self.state != ENDED:
                here()

        self.nsp.hub.in_loop(do)

    def to(self, *rooms: str) -> Target:
        """Everyone in any of the rooms (str), but not this socket. Raises as Target.to."""
        return Target(self.nsp, at_least_one(rooms), (self.id,))

    @property
    def broadcast(self) -> Target:
        """Everyone in the namespace, but not this socket."""
        return Target(self.nsp, (), (self.id,))

    @property
    def volatile(self) -> Target:
        """This socket; what is emitted through it may be dropped while the client cannot
        take it.
        """
        return self._itself.volatile

    def cursor(self, value: str) -> Target:
        """This socket; see Target.cursor."""
        return self._itself.cursor(value)

    @property
    def local(self) -> Target:
        """As `broadcast`, to clients of this worker only."""
        return self.broadcast.local

    def compress(self, on: bool) -> Target:
        """This socket; `on` says whether frames may be compressed where the client
        negotiated it.
        """
        return self._itself.compress(on)

    @property
    def _itself(self) -> Target:
        target = Target(self.nsp, (self.id,))
        return target if self.state == MOVED else target.local

    def __repr__(self) -> str:
        return f"<Socket {self.id} in {self.nsp.name}>"
