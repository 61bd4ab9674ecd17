"""A Target: whom an event goes to, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hocket.errors import CallTimeout, Disconnected
from hocket.hub.calls import Call, ack_value
from hocket.protocol import socketio
from hocket.protocol.engineio import EncodedPacket

if TYPE_CHECKING:
    from hocket.hub.elsewhere import Elsewhere, RemoteSocket
    from hocket.hub.namespace import Namespace
    from hocket.hub.socket import Socket


def event_packet(
    namespace: str,
    event: str,
    args: tuple[Any, ...],
    ack_id: int | None = None,
    volatile: bool = False,
) -> EncodedPacket:
    """An event as a packet. Raises ValueError for a reserved name, TypeError for what cannot be
    encoded.
    """
    if event in socketio.RESERVED:
        raise reserved(event)
    return socketio.encode(socketio.EVENT, namespace, (event, *args), ack_id, volatile)


def reserved(event: str) -> ValueError:
    """What is raised for a name that cannot be emitted."""
    return ValueError(f"{event!r} is reserved by Socket.IO and cannot be emitted")


def checked(rooms: tuple[str, ...]) -> tuple[str, ...]:
    """Names of rooms, as somebody gives them. Raises TypeError for what is no str: a user's number,
    or what a client sent, would silently be nobody's room.
    """
    for room in rooms:
        if not isinstance(room, str):
            raise TypeError(f"a room is a str, not {room!r}")
    return rooms


def at_least_one(rooms: tuple[str, ...]) -> tuple[str, ...]:
    """As `checked`, of whom an event goes to. Raises ValueError for none at all: what is for the
    members of an empty list is not for everybody.
    """
    if not rooms:
        raise ValueError("to() needs at least one room; without it, an event is for everybody")
    return checked(rooms)


def as_user(value: str | None) -> str:
    """Who a client is, as somebody sets it; None: nobody known. Raises TypeError for what is no
    str.
    """
    if value is not None and not isinstance(value, str):
        raise TypeError(f"socket.user is a str, not {value!r}")
    return value or ""


class How(NamedTuple):
    """How an event goes out. `local`: to clients of this worker, or, when it has given its place to
    another, of that one; `here`: to nobody but clients of this process. `passed`: for another
    process, which waits by itself while there is no room.
    """

    volatile: bool = False
    compress: bool = True
    cursor: str = ""
    local: bool = False
    here: bool = False
    passed: bool = False


_PLAINLY: Final = How()


class Target:
    """Some sockets of a namespace: `app.to("room")`, `socket.broadcast`. Immutable: each method
    gives a new one.

    Source: Socket.IO server API, class BroadcastOperator.
    """

    __slots__ = ("_how", "excluded", "nsp", "rooms")

    def __init__(
        self,
        nsp: Namespace,
        rooms: tuple[str, ...] = (),
        excluded: tuple[str, ...] = (),
        how: How = _PLAINLY,
    ) -> None:
        self.nsp = nsp
        self.rooms = rooms
        self.excluded = excluded
        self._how = how

    def to(self, *rooms: str) -> Target:
        """Whoever is in any of these rooms (str) too; each socket gets an event once.

        Raises: TypeError for what is no str, ValueError for no room at all.
        """
        return Target(self.nsp, self.rooms + at_least_one(rooms), self.excluded, self._how)

    def except_(self, *rooms: str) -> Target:
        """But nobody who is in any of these rooms (str). Raises TypeError for what is no str."""
        return Target(self.nsp, self.rooms, self.excluded + checked(rooms), self._how)

    @property
    def volatile(self) -> Target:
        """Events may be dropped for clients that cannot take them right now (a full buffer, no poll
        waiting).
        """
        return self._but(self._how._replace(volatile=True))

    @property
    def local(self) -> Target:
        """Only clients of this worker."""
        return self._but(self._how._replace(local=True))

    def compress(self, on: bool) -> Target:
        """Whether frames may be compressed where the client negotiated it (bool)."""
        return self._but(self._how._replace(compress=on))

    def cursor(self, value: str) -> Target:
        """The `id:` (str) of what is emitted, for clients over Server-Sent Events: one that
        reconnects says it again, as `handshake.headers["last-event-id"]`. Others get no cursor.
        """
        return self._but(self._how._replace(cursor=value))

    def _but(self, how: How) -> Target:
        return Target(self.nsp, self.rooms, self.excluded, how)

    def emit(self, event: str, *args: Any) -> None:
        """Send an event. Encoded once; returns at once; may be called from any thread.

        Args:
            event: the event's name.
            args: anything msgspec encodes as JSON, and models of pydantic; `bytes`-like values
                travel as binary.

        Raises: ValueError for a reserved name, TypeError for what cannot be encoded, Overloaded
        when too much waits to be sent.
        """
        self.nsp.hub.check_room()
        packet = self._packet(event, args)
        self.nsp.hub.in_loop(lambda: self.send(packet))

    def _packet(self, event: str, args: tuple[Any, ...]) -> EncodedPacket:
        packet = event_packet(self.nsp.name, event, args, None, self._how.volatile)
        packet.compress, packet.cursor = self._how.compress, self._how.cursor
        return packet

    def send(self, packet: EncodedPacket) -> None:
        """A packet to all of them, from the loop's own thread."""
        elsewhere = self._elsewhere()
        if elsewhere is None or elsewhere.kept is None:
            self.deliver(packet)
        if elsewhere is not None:
            elsewhere.emit(self, packet)

    def deliver(self, packet: EncodedPacket) -> None:
        """A packet to those of them that this worker has."""
        nsp, hub = self._present(), self.nsp.hub
        if self.rooms:
            rooms, sockets = nsp.resolve(self.rooms)
        else:
            rooms, sockets = [nsp.everyone], []
        excluded = frozenset(nsp.connections(self.excluded)) if self.excluded else frozenset()
        hub.fanout.emit(rooms, [socket.end for socket in sockets], excluded, packet)

    def _present(self) -> Namespace:
        """The namespace as it is now: a dynamic one goes with its last client, and is another one
        when the next comes.
        """
        return self.nsp.hub.namespaces.get(self.nsp.name, self.nsp)

    def _elsewhere(self) -> Elsewhere | None:
        elsewhere = self.nsp.hub.elsewhere
        if elsewhere is None or self._how.here:
            return None
        return elsewhere if elsewhere.has_all or not self._how.local else None

    @property
    def is_local(self) -> bool:
        return self._how.local

    async def call(self, event: str, *args: Any, timeout: float = 60.0) -> list[Any]:
        """Send an event and wait for everybody's ack; who leaves meanwhile is not waited for.

        Args:
            timeout: seconds.

        Returns: a list with an entry per socket: the ack's argument, a tuple of several, None of
        none.
        Raises: CallTimeout, with those answers that came as `answers`; Overloaded.
        """
        self.nsp.hub.check_room()
        acks, missing = await self.gather(self._packet(event, args), event, timeout)
        answers = [ack_value(ack) for ack in acks]
        if missing:
            raise CallTimeout(f"{missing} did not answer {event!r} in {timeout} s", answers)
        return answers

    async def one_answer(self, event: str, *args: Any, timeout: float) -> Any:
        """As `call`, to one socket; raises Disconnected when it has gone."""
        answers = await self.call(event, *args, timeout=timeout)
        if not answers:
            raise Disconnected(f"the client left before it answered {event!r}")
        return answers[0]

    async def gather(
        self, packet: EncodedPacket, event: str, timeout: float
    ) -> tuple[list[list[Any]], int]:
        """Send an event and wait for acks: what they carried, and how many did not come."""
        asked = None
        if (elsewhere := self._elsewhere()) is not None:
            asked = elsewhere.call(self, packet, event, timeout)
        call = self.begin_call(packet, event)
        missing = await call.gather(timeout)
        if asked is None:
            return call.acks, missing
        more, missing_there = await asked
        return call.acks + more, missing + missing_there

    def begin_call(self, packet: EncodedPacket, event: str) -> Call:
        """Send an event that wants acks to those of them that this worker has."""
        id = self._present().next_ack_id()
        call = Call(id, event, self.select())
        self.deliver(socketio.with_ack_id(packet, self.nsp.name, id))
        return call

    async def sockets(self) -> list[Socket | RemoteSocket]:
        """The sockets that an event would go to now. Those of other workers are told of as they
        were when they were asked for, and act through their worker.

        Raises: CallTimeout when a worker does not answer, with the sockets of the others.
        """
        here = self.select()
        if (elsewhere := self._elsewhere()) is None:
            return list(here)
        return [*here, *await elsewhere.sockets(self, here)]

    def select(self) -> list[Socket]:
        """Those of them that this worker has."""
        return self._present().select(self.rooms, self.excluded)

    def join(self, *rooms: str) -> None:
        """Put all of them into rooms (str). Raises TypeError for what is no str, Overloaded when
        too much waits for other workers.
        """
        checked(rooms)
        self._do(lambda it: it.join(*rooms), lambda elsewhere: elsewhere.join(self, rooms))

    def leave(self, *rooms: str) -> None:
        """Take all of them out of rooms (str). Raises as `join`."""
        checked(rooms)
        self._do(lambda it: it.leave(*rooms), lambda elsewhere: elsewhere.leave(self, rooms))

    def disconnect(self, close: bool = False) -> None:
        """End all of them; with `close` their whole connections. Raises Overloaded as `join`."""
        self._do(
            lambda it: it.disconnect(close), lambda elsewhere: elsewhere.disconnect(self, close)
        )

    def set_user(self, user: str | None) -> None:
        """Say who all of them are. Raises as `join`."""
        known = as_user(user)

        def name(socket: Socket) -> None:
            socket.user = known

        self._do(name, lambda elsewhere: elsewhere.name(self, known))

    def _do(self, here: Callable[[Socket], None], there: Callable[[Elsewhere], None]) -> None:
        """Raises Overloaded when too much waits for other workers."""
        if self._elsewhere() is not None and not self._how.passed:
            self.nsp.hub.check_others()

        def do() -> None:
            for socket in self.select():
                here(socket)
            if (elsewhere := self._elsewhere()) is not None:
                there(elsewhere)

        self.nsp.hub.in_loop(do)
