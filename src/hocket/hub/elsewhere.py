"""Elsewhere: the sockets of other workers, as a hub sees them, and what other workers want of its
own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hocket.broker.base import EMITTER, OLD, Broker
from hocket.broker.messages import (
    Act,
    Answer,
    AnyMessage,
    Call,
    Called,
    Chosen,
    Disconnect,
    Emit,
    Join,
    Leave,
    Named,
    Packet,
    Present,
    SocketState,
    Who,
    encode,
)
from hocket.errors import CallTimeout
from hocket.hub.handshake import Handshake
from hocket.hub.target import How, Target, at_least_one
from hocket.protocol.engineio import EncodedPacket

if TYPE_CHECKING:
    from hocket.hub.hub import Hub
    from hocket.hub.namespace import Namespace
    from hocket.hub.socket import Socket

log = logging.getLogger("hocket")

HERE: Final = How(here=True)
LOCAL: Final = How(local=True, passed=True)
EVERYWHERE: Final = How(passed=True)
MOST_KEPT: Final = 10_000  # acts that wait for those whom they are for; with more, Overloaded
MOST_BYTES: Final = 16_777_216  # of them together
PATIENCE: Final = 10.0  # seconds in which another worker must answer; it needs milliseconds
GRACE: Final = 1.0  # seconds more than a call has, for what another worker's clients answered


class RemoteSocket:
    """A client of another worker, as it was when `sockets()` asked: what is read is from then, what
    is done is done there, now. Attributes and methods as Socket's.
    """

    __slots__ = ("_namespace", "state")

    def __init__(self, nsp: Namespace, state: SocketState) -> None:
        self._namespace = nsp
        self.state = state

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def user(self) -> str:
        """As Socket.user."""
        return self.state.user

    @user.setter
    def user(self, value: str | None) -> None:
        self._itself.set_user(value)
        self.state = msgspec.structs.replace(self.state, user=value or "")

    @property
    def namespace(self) -> str:
        return self._namespace.name

    @property
    def transport(self) -> str:
        return self.state.transport

    @property
    def connected(self) -> bool:
        """Whether it was in the namespace, and not before its `connect` handler's end (bool)."""
        return self.state.connected

    @property
    def recovered(self) -> bool:
        return False

    @property
    def rooms(self) -> set[str]:
        return {self.id, *self.state.rooms}

    @property
    def data(self) -> dict[str, Any]:
        """A copy: changing it changes nothing there."""
        return self.state.data

    @property
    def handshake(self) -> Handshake:
        state = self.state
        auth = msgspec.json.decode(state.auth) if state.auth else None
        return Handshake(state.head, state.address, state.opened, state.secure, auth)

    def emit(self, event: str, *args: Any) -> None:
        """As Socket.emit."""
        self._itself.emit(event, *args)

    async def call(self, event: str, *args: Any, timeout: float = 60.0) -> Any:
        """As Socket.call."""
        return await self._itself.one_answer(event, *args, timeout=timeout)

    def join(self, *rooms: str) -> None:
        """As Socket.join."""
        self._itself.join(*rooms)

    def leave(self, *rooms: str) -> None:
        """As Socket.leave."""
        self._itself.leave(*rooms)

    def disconnect(self, close: bool = False) -> None:
        """As Socket.disconnect."""
        self._itself.disconnect(close)

    def to(self, *rooms: str) -> Target:
        """As Socket.to."""
        return Target(self._namespace, at_least_one(rooms), (self.id,))

    @property
    def broadcast(self) -> Target:
        """As Socket.broadcast."""
        return Target(self._namespace, (), (self.id,))

    @property
    def volatile(self) -> Target:
        """As Socket.volatile."""
        return self._itself.volatile

    def compress(self, on: bool) -> Target:
        """As Socket.compress."""
        return self._itself.compress(on)

    def cursor(self, value: str) -> Target:
        """As Socket.cursor."""
        return self._itself.cursor(value)

    @property
    def _itself(self) -> Target:
        return Target(self._namespace, (self.id,))

    def __repr__(self) -> str:
        return f"<RemoteSocket {self.id} in {self.namespace}>"


class Elsewhere:
    """The other workers.

    Args:
        hub: whose own sockets they may want something of.
        broker: the way to them.
        has_all: whether this worker's own clients are there, too: another one has its place.
    """

    def __init__(self, hub: Hub, broker: Broker, has_all: bool = False) -> None:
        self._hub = hub
        self._broker = broker
        self.has_all = has_all
        # What is done here while those for whom it is are on their way here from a process before.
        self.kept: list[Act] | None = None
        self._kept_bytes = 0
        self._acts: dict[type, Callable[[int, Any], None]] = {
            Emit: self._emitted,
            Join: self._joins,
            Leave: self._leaves,
            Disconnect: self._disconnects,
            Who: self._tell,
            Call: self._calls,
            Named: self._names,
        }
        broker.attend(self.read)

    @property
    def full(self) -> bool:
        if self.kept is not None and len(self.kept) >= MOST_KEPT:
            return True
        return self._broker.full or self._kept_bytes >= MOST_BYTES

    def keep(self) -> None:
        """Nobody is here yet, and nobody else is known: keep what is done, until `go_on`."""
        self.kept = []

    def go_on(self) -> None:
        """All are here: what was done is for them, too."""
        kept, self.kept = self.kept or [], None
        self._kept_bytes = 0
        for act in kept:
            self.read(EMITTER, act)

    def _publish(self, act: Act) -> None:
        if self.kept is None:
            self._broker.publish(act)
        else:
            self.kept.append(act)
            self._kept_bytes += len(encode(act))

    # What we want of them

    def emit(self, to: Target, packet: EncodedPacket) -> None:
        self._publish(Emit(_chosen(to), pack(packet)))

    def join(self, who: Target, rooms: tuple[str, ...]) -> None:
        self._publish(Join(_chosen(who), rooms))

    def leave(self, who: Target, rooms: tuple[str, ...]) -> None:
        self._publish(Leave(_chosen(who), rooms))

    def disconnect(self, who: Target, close: bool) -> None:
        self._publish(Disconnect(_chosen(who), close))

    def name(self, who: Target, user: str) -> None:
        """Whose clients they are."""
        self._publish(Named(_chosen(who), user))

    async def sockets(self, who: Target, here: Sequence[Socket]) -> list[RemoteSocket]:
        """Their sockets. Raises CallTimeout, with `here` and what came."""
        asked = self._broker.ask(lambda id: Who(id, _chosen(who)))
        answers, missing = await _answers(asked, PATIENCE)
        found = [
            RemoteSocket(who.nsp, state)
            for answer in answers
            if isinstance(answer, Present)
            for state in answer.sockets
        ]
        if missing:
            raise CallTimeout(f"{missing} workers did not answer in {PATIENCE} s", [*here, *found])
        return found

    def call(
        self, to: Target, packet: EncodedPacket, event: str, timeout: float
    ) -> asyncio.Future[tuple[list[list[Any]], int]]:
        """Send an event that wants acks; what they carried, and how many did not come."""
        asked = self._broker.ask(lambda id: Call(id, _chosen(to), pack(packet), event, timeout))
        return asyncio.ensure_future(self._acks(asked, timeout))

    async def _acks(
        self, asked: list[asyncio.Future[Answer | None]], timeout: float
    ) -> tuple[list[list[Any]], int]:
        answers, missing = await _answers(asked, timeout + GRACE)
        called = [answer for answer in answers if isinstance(answer, Called)]
        acks = [ack for answer in called for ack in answer.answers]
        return acks, missing + sum(answer.missing for answer in called)

    # What they want of us

    def read(self, peer: int, message: AnyMessage) -> None:
        """What another worker wants, of our own sockets; a process that gave its place to this one
        (OLD) of everybody's, as our own handlers may.
        """
        try:
            self._acts[type(message)](peer, message)
        except Exception:
            log.exception("internal error over what another worker asked for")

    def catch_up(self, late: Collection[Socket], message: Act) -> None:
        """What was published while these sockets were on their way here: to them alone."""
        to = message.to if isinstance(message, Emit) else message.who
        target = self._target(0, to)
        for socket in target.select() if target is not None else ():
            if socket not in late:
                continue
            if isinstance(message, Emit):
                socket.deliver(unpack(message.packet))
            elif isinstance(message, Join):
                socket.join(*message.rooms)
            elif isinstance(message, Leave):
                socket.leave(*message.rooms)
            elif isinstance(message, Named):
                socket.user = message.user
            else:
                socket.disconnect(message.close)

    def _target(self, peer: int, to: Chosen) -> Target | None:
        nsp = self._hub.addressed(to.namespace)
        how = EVERYWHERE if peer in (OLD, EMITTER) else HERE
        if to.local and peer == OLD:
            how = LOCAL
        return Target(nsp, to.rooms, to.excluded, how) if nsp is not None else None

    def _emitted(self, peer: int, message: Emit) -> None:
        if (target := self._target(peer, message.to)) is not None:
            target.send(unpack(message.packet))

    def _joins(self, peer: int, message: Join) -> None:
        if (target := self._target(peer, message.who)) is not None:
            target.join(*message.rooms)

    def _leaves(self, peer: int, message: Leave) -> None:
        if (target := self._target(peer, message.who)) is not None:
            target.leave(*message.rooms)

    def _disconnects(self, peer: int, message: Disconnect) -> None:
        if (target := self._target(peer, message.who)) is not None:
            target.disconnect(message.close)

    def _names(self, peer: int, message: Named) -> None:
        if (target := self._target(peer, message.who)) is not None:
            target.set_user(message.user)

    def _tell(self, peer: int, asked: Who) -> None:
        target = self._target(peer, asked.who)
        if target is None or peer != OLD:
            here = target.select() if target is not None else []
            self._broker.send(peer, Present(asked.id, [_state(socket) for socket in here]))
        else:
            self._hub.engine.loop.spawn(self._tell_all(asked.id, target))

    async def _tell_all(self, id: int, target: Target) -> None:
        try:
            found = await target.sockets()
        except CallTimeout as late:
            found = late.answers
        self._broker.send(OLD, Present(id, [_state(socket) for socket in found]))

    def _calls(self, peer: int, asked: Call) -> None:
        if (target := self._target(peer, asked.to)) is None:
            self._broker.send(peer, Called(asked.id, [], 0))
        else:
            self._hub.engine.loop.spawn(self._gather(peer, asked, target))

    async def _gather(self, peer: int, asked: Call, target: Target) -> None:
        acks, missing = await target.gather(unpack(asked.packet), asked.event, asked.timeout)
        try:
            self._broker.send(peer, Called(asked.id, acks, missing))
        except Exception:  # what one client said is not to cost all their answers
            kept = [ack for ack in acks if _why_not(ack) is None]
            self._broker.send(peer, Called(asked.id, kept, missing + len(acks) - len(kept)))


async def _answers(
    asked: list[asyncio.Future[Answer | None]], timeout: float
) -> tuple[list[Answer | None], int]:
    """What was answered in time, and how many did not answer."""
    if not asked:
        return [], 0
    done, waiting = await asyncio.wait(asked, timeout=timeout)
    return [future.result() for future in done], len(waiting)


def _chosen(target: Target) -> Chosen:
    return Chosen(target.nsp.name, target.rooms, target.excluded, target.is_local)


def pack(packet: EncodedPacket) -> Packet:
    return Packet(
        packet.text, list(packet.attachments), packet.volatile, packet.compress, packet.cursor
    )


def unpack(packet: Packet) -> EncodedPacket:
    return EncodedPacket(
        packet.text, packet.attachments, packet.volatile, packet.cursor, packet.compress
    )


def _state(socket: Socket | RemoteSocket) -> SocketState:
    if isinstance(socket, RemoteSocket):
        return socket.state
    connection = socket.connection
    return SocketState(
        socket.id,
        socket.user,
        socket.room_names(),
        portable(socket.data),
        socket.transport,
        connection.head,
        connection.address,
        connection.secure,
        connection.opened,
        socket.auth_json,
        socket.connected,
    )


def portable(data: dict[str, Any]) -> dict[str, Any]:
    """What of `socket.data` can travel: what msgspec encodes, under names. The rest stays, and the
    log says so.
    """
    return {key: value for key, value in data.items() if _can_travel(key, value)}


def _can_travel(key: Any, value: Any) -> bool:
    why = _why_not(value)
    if not isinstance(key, str):
        why = f"its key is no str, but {type(key).__name__}"
    if why is not None:
        log.warning("socket.data[%r] is not told to other workers: %s", key, why)
    return why is None


def _why_not(value: Any) -> str | None:
    """Why a value cannot be told to another process; None: it can. What is wrong with one is said
    by errors of many kinds: a date before the year 1 in UTC by OverflowError, for one.
    """
    try:
        encode(value)
    except Exception as error:
        return str(error) or repr(error)
    return None
