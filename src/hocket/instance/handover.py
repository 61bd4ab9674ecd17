"""A new process takes the place of an old one: its sessions, its links, its idle connections. No
client is disconnected, and nothing is lost, doubled or reordered: everything moves in one go, in
which neither process serves anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket as sockets
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf
from typing import Any, Final

from hocket.broker.base import OLD
from hocket.broker.channel import MOST_FILES, Channel, close_files
from hocket.broker.local import LIMIT, LocalBroker
from hocket.broker.messages import Act, Disconnect, Moved, encode
from hocket.broker.succession import (
    Acked,
    Answered,
    Came,
    Coming,
    Ended,
    Farewell,
    FromOld,
    Given,
    Go,
    LinkTo,
    Missed,
    Pass,
    Session,
    Several,
    decode_from_new,
    decode_from_old,
)
from hocket.broker.successor import Successor
from hocket.errors import TRANSPORT_ERROR
from hocket.hub.connection import Connection
from hocket.hub.elsewhere import Elsewhere
from hocket.hub.engine import WORKERS
from hocket.hub.socket import Socket
from hocket.instance.worker import Worker
from hocket.protocol.http1 import Request
from hocket.transport.moving import Mover, Parcel, is_served
from hocket.transport.stream import HttpStream

log = logging.getLogger("hocket")

SETTLE: Final = 1.0  # seconds for `connect` handlers, upgrades and fan-outs to end before all moves
SWEEP: Final = 0.02  # seconds between two looks at what could not be moved yet
BUNDLE: Final = 16_384  # bytes of sessions that are sent as one message, if there are several
MOVING: Final = "moving"  # why nobody is read from
CANNOT_MOVE: Final = "internal error: a session cannot move; its client has to come anew"
HERE: Final = 0  # any worker's number: what it says is for sessions of this process alone


def _encoded(parcel: Parcel) -> bytes | None:
    try:
        return encode(parcel.message)
    except Exception:
        log.exception(CANNOT_MOVE)
        close_files(parcel.files)
        return None


class Forward:
    """Stands for a call of the old process: the ack goes there."""

    __slots__ = ("_id", "_send")

    def __init__(self, send: Callable[[Any], None], id: int) -> None:
        self._send = send
        self._id = id

    def answer(self, socket: Socket, args: list[Any]) -> None:
        self._send(Acked(socket.nsp.name, socket.id, self._id, args))

    def forget(self, socket: Socket) -> None:
        self._send(Acked(socket.nsp.name, socket.id, self._id, None))


class Heir:
    """The new process's side.

    Args:
        worker: prepared, and not open yet.
        socket: to the old process.
        took: called when everything is here.
        bereft: called when the old process ends before that: what it had is gone, and so is the way
            to the other workers.
    """

    def __init__(
        self,
        worker: Worker,
        socket: sockets.socket,
        took: Callable[[], None],
        bereft: Callable[[], None],
    ) -> None:
        assert worker.broker is not None
        self._worker = worker
        self._broker: LocalBroker = worker.broker
        self._mover = Mover(worker.hub, worker.reactor, worker.http, worker.gateway)
        self._took = took
        self._bereft: Callable[[], None] | None = bereft
        worker.engine.pause(MOVING, True)
        self._broker.hold(True)  # what others say is for sessions that are left there, too
        loop = asyncio.get_running_loop()
        self._broker.old = Channel(loop, socket, self._received, self._ended, LIMIT)

    def _received(self, data: bytes, files: list[int]) -> None:
        try:
            self._take(decode_from_old(data), files)
        except Exception:
            log.exception("internal error over what the old process gave")
            close_files(files)

    def _take(self, message: FromOld, files: list[int]) -> None:
        if isinstance(message, Session):
            self._put_together(message, files)
        elif isinstance(message, Ended):
            self._broker.left.discard(message.sid)
        elif isinstance(message, Farewell):
            self._worker.gateway.polling.keep_farewell(message.sid, message.answers)
        elif isinstance(message, Coming):
            self._broker.since = []
            self._broker.send(OLD, Go(message.sids))
        elif isinstance(message, Came):
            self._broker.since = None
        elif isinstance(message, Several):
            for data, count in message.parts:
                self._received(data, files[:count])
                del files[:count]
        elif isinstance(message, Moved):
            self._mover.take(message, files)
        elif isinstance(message, LinkTo) and files:
            self._broker.take_link(message, files.pop(0), *files)
        elif isinstance(message, Given):
            self._start(message)
        elif isinstance(message, Pass):
            self._broker.pass_on(message.peer, message.message, files)
        elif self._elsewhere is not None and not isinstance(message, LinkTo):
            # Who says it has told its own sessions, but not what `disconnect` handlers say here.
            self._broker.echoes = isinstance(message, Disconnect)
            self._elsewhere.read(OLD, message)
            self._broker.echoes = True

    @property
    def _elsewhere(self) -> Elsewhere | None:
        return self._worker.hub.elsewhere

    def _put_together(self, session: Session, files: list[int]) -> None:
        sockets = set(self._mover.put_together(session, files, self._forward))
        self._broker.left.discard(session.sid)
        if self._broker.behind:
            engine = self._worker.engine
            engine.close(engine.connections[session.sid], TRANSPORT_ERROR)
        elif self._elsewhere is not None:
            for message in self._broker.since or ():
                self._elsewhere.catch_up(sockets, message)

    def _start(self, given: Given) -> None:
        for name, count in given.ack_ids.items():
            if (nsp := self._worker.hub.namespace(name)) is not None:
                nsp.ack_ids = max(nsp.ack_ids, count)
        self._broker.questions = given.questions
        self._broker.left.update(given.left)
        self._broker.hold(False)
        self._worker.garbage.stay()  # or the next tick would look at everybody who has moved
        self._worker.engine.pause(MOVING, False)
        self._mover.start()
        self._bereft = None
        if self._elsewhere is not None:
            self._elsewhere.go_on()
        self._took()

    def _forward(self, socket: Socket, id: int) -> Forward:
        return Forward(partial(self._broker.send, OLD), id)

    def _ended(self) -> None:
        self._broker.old = None
        self._broker.left.clear()
        self._broker.since = None
        if self._bereft is not None:
            self._bereft()


class Giver:
    """The old process's side.

    Args:
        worker: that is to give what it has.
        socket: to the new process.
        gives: called right before everything moves.
    """

    def __init__(
        self, worker: Worker, socket: sockets.socket, gives: Callable[[], None] = lambda: None
    ) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._mover = Mover(worker.hub, worker.reactor, worker.http, worker.gateway)
        pause = partial(worker.engine.pause, WORKERS)  # while the new one does not keep up
        self._channel = Channel(self._loop, socket, self._received, lambda: None, LIMIT, pause)
        self._successor: Successor
        self._gives = gives
        self.has_given = False
        self._hurried = asyncio.Event()
        self._calls: dict[tuple[str, str], Socket] = {}
        self._left: set[str] = set()  # sessions that the new process was told to ask for here
        self._offered = False

    async def settle(self, limit: float) -> None:
        """Wait until everybody can move, for at most `limit` seconds, and no longer than is worth
        it.
        """
        last = self._worker.engine.fanout.seq
        await self._until(lambda: self._can_move(last), min(limit, SETTLE))

    async def allowed(self, word: asyncio.Event) -> None:
        """Wait until `word` is given, or there is nobody to give to any more."""
        await self._until(lambda: word.is_set() or self._channel.closed, inf)

    async def give(self, limit: float) -> bool:
        """Everything; then wait for handlers, calls and requests that are under way, for at most
        `limit` seconds. False: nothing has moved, for the new process has ended meanwhile, or
        everything ends.
        """
        await self.settle(limit)
        if self._channel.is_left or self._hurried.is_set():
            self._channel.close()
            return False
        self._gives()
        self.has_given = True
        self._worker.entrance.close()
        self._give_all()
        if not await self._until(self._is_done, limit):
            log.warning("handlers or requests run still, after %g s: they are cut off", limit)
        return True

    def pass_link(self, peer: int, role: str, fd: int) -> None:
        """Another process is there, which whoever introduces it takes this one for the new one."""
        self._send(Parcel(LinkTo(peer, b"", b"", [], 0, role, is_newer=True), [fd]))

    def hurry(self) -> None:
        """Everything ends: wait for nothing more."""
        self._hurried.set()

    async def _until(self, condition: Callable[[], bool], limit: float) -> bool:
        """Wait until a condition holds, for at most `limit` seconds; whether it does."""
        end = self._loop.time() + limit
        while not condition():
            if self._loop.time() >= end or self._hurried.is_set():
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), SWEEP)
        return True

    def _is_done(self) -> bool:
        """Whether nothing is left to do here; what can move by now does."""
        self._offer()
        self._say_farewells()
        self._send_all(self._mover.idle_streams())
        return not self._busy()

    def _offer(self) -> None:
        """Sessions that were left and can move now: the new process has to know first, for all
        others are told by it.
        """
        self._flush()
        connections = self._worker.engine.connections.values()
        settled = [each.sid for each in connections if self._mover.is_settled(each)]
        if settled and not self._offered:
            self._offered = True
            self._send(Parcel(Coming(settled), []))

    def _let_go(self, sids: list[str]) -> None:
        """The new process knows: those of them that still can move."""
        connections = self._worker.engine.connections
        self._flush()
        here = [connection for sid in sids if (connection := connections.get(sid)) is not None]
        self._send_all(self._sessions(here))
        self._offered = False
        self._send(Parcel(Came(), []))

    async def part(self) -> None:
        """Let what was said go out."""
        await self._until(lambda: self._channel.is_sent, SETTLE)
        self._channel.close()

    def _can_move(self, last: int) -> bool:
        """Whether everybody can, and large fan-outs up to number `last` have ended: one of them
        would take as long as all the rest. Or nobody is there any more to move to.
        """
        if self._channel.closed:
            return True
        engine, active = self._worker.engine, self._worker.engine.fanout.active
        if active and active[0].seq <= last:
            return False
        return all(map(self._mover.is_settled, engine.connections.values()))

    def _busy(self) -> bool:
        worker = self._worker
        streams = any(map(is_served, worker.http.streams()))
        coming = worker.introductions is not None and worker.introductions.waits
        running = bool(worker.tasks or worker.hub.dispatch.tasks)
        sessions = bool(worker.engine.connections)
        return running or streams or coming or sessions or self._has_old()

    def _has_old(self) -> bool:
        """Whether handlers run still in the process before this one, which act through this."""
        return self._worker.broker is not None and self._worker.broker.old is not None

    def _give_all(self) -> None:
        worker = self._worker
        worker.engine.pause(MOVING, True)
        self._sweep()
        questions = 0
        self._left.update(worker.engine.connections)
        if worker.broker is not None:
            self._left |= worker.broker.left
            for message, files in worker.broker.give_links():
                self._send(Parcel(message, files))
            questions = worker.broker.questions
        ack_ids = {name: nsp.ack_ids for name, nsp in worker.hub.namespaces.items()}
        self._send(Parcel(Given(ack_ids, questions, [*self._left]), []))
        self._channel.flush()
        self._successor = Successor(self._loop, self._channel, questions, worker.broker)
        worker.hub.elsewhere = Elsewhere(worker.hub, self._successor, has_all=True)
        worker.http.elsewhere = self._pass_on
        if worker.broker is not None:
            worker.broker.after = self._answer_through
        worker.engine.pause(MOVING, False)

    def _answer_through(self, peer: int, data: bytes) -> None:
        self._channel.send(encode(Pass(peer, data)), counts=False)

    def _sweep(self) -> None:
        self._flush()
        self._send_all(self._sessions(tuple(self._worker.engine.connections.values())))
        self._send_all(self._mover.idle_streams())
        self._say_farewells()

    def _say_farewells(self) -> None:
        """Of sessions that have ended here: their clients ask the new process."""
        farewells = self._worker.gateway.polling.take_farewells()
        self._send_all([Parcel(Farewell(sid, last), []) for sid, last in farewells.items()])

    def _flush(self) -> None:
        if self._worker.hub.doorkeeper is not None:
            self._worker.hub.doorkeeper.flush()

    def _sessions(self, connections: Iterable[Connection]) -> Iterator[Parcel]:
        """Those that are settled, each taken apart when it is asked for."""
        for connection in connections:
            if not self._mover.is_settled(connection):
                continue
            sockets = connection.sockets
            try:
                parcel = self._mover.take_apart(connection)
            except Exception:
                log.exception(CANNOT_MOVE)
                self._worker.engine.close(connection, TRANSPORT_ERROR)
                continue
            if parcel is not None:
                calling = [each for each in sockets if each.calls]
                self._calls.update({(each.nsp.name, each.id): each for each in calling})
                yield parcel

    def _send(self, parcel: Parcel) -> None:
        self._send_all([parcel])

    def _send_all(self, parcels: Iterable[Parcel]) -> None:
        """What is small by the dozen: a client is not served until all have moved, and a message
        with files takes both sides 12 us besides what is in it.
        """
        parts: list[tuple[bytes, int]] = []
        files: list[int] = []
        size = 0
        for parcel in parcels:
            if (data := _encoded(parcel)) is None:
                continue
            if size + len(data) > BUNDLE or len(files) + len(parcel.files) > MOST_FILES:
                self._send_parts(parts, files)
                parts, files, size = [], [], 0
            parts.append((data, len(parcel.files)))
            files += parcel.files
            size += len(data)
        self._send_parts(parts, files)

    def _send_parts(self, parts: list[tuple[bytes, int]], files: list[int]) -> None:
        if parts:
            alone = len(parts) == 1
            data = parts[0][0] if alone else encode(Several(parts))
            self._channel.send(
                data, files, counts=False
            )  # what moves is bounded, and not published
            self._channel.flush()

    def _pass_on(self, stream: HttpStream, request: Request, data: bytes) -> bool:
        """What HttpTransport asks as `elsewhere`: every further request is for the new process, but
        for those of sessions that could not move yet.
        """
        sid = request.params().get("sid", "")
        if sid in self._worker.engine.connections:
            return False
        broker = self._worker.broker
        if (parcel := self._mover.parcel_of(stream, data)) is None:
            return True
        if broker is not None and sid in broker.left:
            broker.send(OLD, parcel.message, parcel.files)
            return True
        if sid in self._left:
            self._left.discard(sid)
            self._say_farewells()
            self._send(Parcel(Ended(sid), []))
        self._send(parcel)
        return True

    def _received(self, data: bytes, files: list[int]) -> None:
        message = decode_from_new(data)
        if isinstance(message, Moved):
            for fd in files:
                self._worker.http.take(fd, message.address, message.over_tls, message.data)
            return
        close_files(files)
        if isinstance(message, Act):
            self._told(message)
        elif isinstance(message, Go):
            self._let_go(message.sids)
        elif isinstance(message, Missed):
            self._end_left()
        elif isinstance(message, Acked):
            self._acked(message)
        elif isinstance(message, Answered):
            if self._worker.broker is not None:
                self._worker.broker.answered(message)
        else:
            self._successor.answered(message)

    def _told(self, message: Act) -> None:
        """What was published in the new process, for sessions that are here still."""
        if self._worker.hub.elsewhere is not None:
            self._worker.hub.elsewhere.read(HERE, message)
        if self._worker.broker is not None:
            self._worker.broker.echo(message)

    def _end_left(self) -> None:
        """Those who are here still have missed something."""
        for connection in tuple(self._worker.engine.connections.values()):
            self._worker.engine.close(connection, TRANSPORT_ERROR)
        if self._worker.broker is not None:
            self._worker.broker.fall_behind()

    def _acked(self, message: Acked) -> None:
        socket = self._calls.get((message.namespace, message.socket))
        call = socket.calls.pop(message.call, None) if socket is not None and socket.calls else None
        if socket is None or call is None:
            return
        if message.args is None:
            call.forget(socket)
        else:
            call.answer(socket, message.args)
