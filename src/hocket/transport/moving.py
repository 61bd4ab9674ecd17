"""Sessions and connections on their way from one process to the next: taken apart here, put
together there. Clients notice nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from hocket.broker.messages import Message, Moved
from hocket.broker.succession import Polling, Session, SocketOf, Stream
from hocket.errors import WebSocketError
from hocket.hub.connection import CLOSED, LOST, Connection
from hocket.hub.elsewhere import pack, portable, unpack
from hocket.hub.engine import Engine
from hocket.hub.hub import Hub
from hocket.hub.outbox import Backlog
from hocket.hub.socket import CONNECTED, MOVED, Socket
from hocket.protocol import socketio
from hocket.protocol.socketio import Assembler
from hocket.transport.gateway import Gateway
from hocket.transport.http import HttpTransport
from hocket.transport.polling import PollQueue
from hocket.transport.reactor import Reactor
from hocket.transport.stream import HttpStream
from hocket.transport.websocket import receiver_for

Forward = Callable[[Socket, int], Any]  # makes what an ack of an old call is given to


class Parcel(NamedTuple):
    """A message and the open files that go with it."""

    message: Message
    files: list[int]


class Mover:
    """Takes sessions and connections of a worker apart, and puts those of another together.

    Args:
        hub, reactor, http, gateway: the worker's.
    """

    def __init__(self, hub: Hub, reactor: Reactor, http: HttpTransport, gateway: Gateway) -> None:
        self._hub = hub
        self._engine: Engine = hub.engine
        self._draining = hub.draining
        self._reactor = reactor
        self._http = http
        self._transports: dict[str, Any] = {
            each.name: each for each in (gateway.websocket, gateway.sse, gateway.polling)
        }
        self._polling = gateway.polling
        self._to_start: list[Callable[[], None]] | None = []

    # Apart

    def is_settled(self, connection: Connection) -> bool:
        """Whether a session can be taken apart now: not while it is about to end, to upgrade, while
        a `connect` handler runs, or while another waits for it to take what it was sent.
        """
        outbox = connection.outbox
        if connection.sid in self._draining:
            return False
        if outbox is LOST or outbox is CLOSED:
            return False
        if isinstance(outbox, PollQueue) and (outbox.full or outbox.probe is not None):
            return False
        return all(socket.state == CONNECTED for socket in connection.sockets)

    def take_apart(self, connection: Connection) -> Parcel | None:
        """A settled session; None if it is on its way out. What is pending for it is written
        first.
        """
        fanout, engine = self._engine.fanout, self._engine
        fanout.catch_up(connection)
        fanout.uncork(connection)
        if not self.is_settled(connection):  # writing to it failed
            return None
        try:
            inbox = list(connection.inbox or ())
        except WebSocketError as error:
            self._transports["websocket"].fail(connection, error)
            return None
        age = engine.ping_age(connection)
        polling: Polling | None = None
        files: list[int] = []
        if isinstance(connection.outbox, PollQueue):
            polling, files = self._take_polling(connection.outbox)
            age = engine.loop.clock() - connection.outbox.pinged
        backlog = connection.outbox.contents() if isinstance(connection.outbox, Backlog) else b""
        session = Session(
            connection.sid,
            connection.transport.name,
            connection.wire,
            connection.head,
            connection.address,
            connection.secure,
            connection.opened,
            age,
            connection.answered,
            [self._describe(socket) for socket in connection.sockets],
            connection.receiver.kept() if connection.receiver is not None else None,
            inbox,
            connection.assembler.kept() if connection.assembler is not None else None,
            backlog,
            polling,
        )
        if connection.fd >= 0:
            files = [self._reactor.give_up(connection)]
        self._forget(connection)
        return Parcel(session, files)

    def _take_polling(self, queue: PollQueue) -> tuple[Polling, list[int]]:
        queue.timer.cancel()
        waiting = [(queue.poll, queue.poll_headers), (queue.post, queue.post_headers)]
        streams: list[Stream | None] = []
        files: list[int] = []
        for stream, fields in waiting:
            if stream is None or stream.fd < 0:
                streams.append(None)
                continue
            self._http.out.release(stream)
            stream.on_abort = None
            streams.append(
                Stream(stream.peer, stream.over_tls, stream.buffer, stream.keep_alive, fields)
            )
            files.append(self._reactor.give_up(stream))
        return Polling([pack(packet) for packet in queue.packets], *streams), files

    def _forget(self, connection: Connection) -> None:
        """It lives elsewhere now."""
        del self._engine.connections[connection.sid]
        connection.outbox = CLOSED
        connection.receiver = connection.assembler = connection.inbox = None
        for socket in connection.sockets:
            socket.nsp.remove(socket)
            socket.state = MOVED

    def idle_streams(self) -> list[Parcel]:
        """HTTP connections that wait for a request, or for the rest of one."""
        idle = [stream for stream in self._http.streams() if _is_idle(stream)]
        parcels = [self.parcel_of(stream, _unread(stream)) for stream in idle]
        return [parcel for parcel in parcels if parcel is not None]

    def parcel_of(self, stream: HttpStream, data: bytes) -> Parcel | None:
        """An HTTP connection that has said `data` and owes no answer; None while an answer is still
        on its way: `data` is then kept.
        """
        self._http.out.release(stream)
        if stream.backlog is not None:
            stream.buffer = data
        if stream.backlog is not None or stream.fd < 0:
            return None
        moved = Moved(stream.peer, stream.over_tls, data)
        return Parcel(moved, [self._reactor.give_up(stream)])

    # Together

    def start(self) -> None:
        """Everything is here: what was read by the process before may be handed on."""
        acts, self._to_start = self._to_start or [], None
        for act in acts:
            act()

    def _soon(self, act: Callable[[], None]) -> None:
        if self._to_start is None:
            act()
        else:
            self._to_start.append(act)

    def take(self, moved: Moved, files: list[int]) -> None:
        """An idle connection of the process before this one."""
        for fd in files:
            self._soon(partial(self._http.take, fd, moved.address, moved.over_tls, moved.data))

    def put_together(
        self, session: Session, files: list[int], forward: Forward
    ) -> tuple[Socket, ...]:
        """A session of the process before this one: its sockets. `forward` gets the acks of its
        calls.
        """
        engine, transport = self._engine, self._transports[session.transport]
        connection = Connection(
            session.sid,
            transport,
            session.wire,
            engine.fanout.seq,
            session.head,
            session.address,
            session.secure,
            session.opened,
        )
        connection.answered = session.answered
        if session.assembler is not None:
            connection.assembler = Assembler.continued(*session.assembler)
        engine.resume(connection, session.ping_age)
        gone = [one for one in session.sockets if not self._join(connection, one, forward)]
        if session.polling is not None:
            self._put_polling(connection, session, session.polling, files)
        elif files:
            self._put_stream(connection, session, files.pop())
        for one in gone:
            packet = socketio.encode(socketio.DISCONNECT, one.namespace)
            engine.fanout.send(connection, packet)
        return connection.sockets

    def _join(self, connection: Connection, one: SocketOf, forward: Forward) -> bool:
        """A socket of a session, back in its rooms; False if its namespace is no more."""
        nsp = self._hub.namespace(one.namespace)
        if nsp is None:
            return False
        socket = Socket(one.id, nsp, connection, one.auth)
        socket.user, socket.state = one.user, CONNECTED
        if one.data:
            socket.data.update(one.data)
        connection.sockets += (socket,)
        nsp.everyone.add(socket)
        nsp.join(socket, one.rooms)
        if one.expires and self._hub.expiry is not None:
            self._hub.expiry.expect(one.namespace, one.id, one.expires)
        if one.calls:
            socket.calls = {id: forward(socket, id) for id in one.calls}
        if self._hub.doorkeeper is not None and one.seen >= 0:
            self._hub.doorkeeper.arrived(socket, one.seen)
        return True

    def _describe(self, socket: Socket) -> SocketOf:
        doorkeeper, expiry = self._hub.doorkeeper, self._hub.expiry
        return SocketOf(
            socket.id,
            socket.nsp.name,
            socket.user,
            socket.room_names(),
            portable(socket.data),
            socket.auth_json,
            list(socket.calls or ()),
            -1 if doorkeeper is None else doorkeeper.seen_by(socket),
            0.0 if expiry is None else expiry.end_of(socket.id),
        )

    def _put_stream(self, connection: Connection, session: Session, fd: int) -> None:
        connection.fd = fd
        self._reactor.add(connection)
        if session.backlog:
            connection.transport.backlog(connection, session.backlog)
        receiver = None
        if session.kept is not None:
            receiver = receiver_for(session.wire, self._engine.limits.max_payload)
            receiver.go_on(*session.kept)
            connection.receiver = receiver
        if session.inbox:
            self._reactor.hold(connection)  # until that is handed on; what comes now is behind it
            connection.inbox = chain(session.inbox, receiver.events() if receiver else ())
            self._soon(partial(self._transports["websocket"].go_on_soon, connection))

    def _put_polling(
        self, connection: Connection, session: Session, polling: Polling, files: list[int]
    ) -> None:
        streams = [
            self._stream(stream, files.pop(0)) if stream is not None and files else None
            for stream in (polling.poll, polling.post)
        ]
        packets = [unpack(packet) for packet in polling.packets]
        fields = [
            stream.fields if stream is not None else [] for stream in (polling.poll, polling.post)
        ]
        self._polling.resume_session(connection, packets, streams, fields, session.ping_age)
        if session.inbox or polling.post is not None:
            connection.inbox = iter([(bool(binary), data) for binary, data in session.inbox])
            self._soon(partial(self._polling.go_on_soon, connection))

    def _stream(self, stream: Stream, fd: int) -> HttpStream:
        made = self._http.waiting(fd, stream.peer, stream.over_tls)
        made.buffer, made.keep_alive = stream.buffer, stream.keep_alive
        return made


def is_served(stream: HttpStream) -> bool:
    """Whether a request of it is read or served here, or its client still takes the answer: the
    end of this process would cut it.
    """
    return stream.busy or stream.request is not None or stream.backlog is not None


def _is_idle(stream: HttpStream) -> bool:
    """Whether nobody serves its request yet, and what it has said of that can be said again."""
    if stream.busy or stream.leaving:
        return False
    return stream.request is None or (stream.request.length is not None and stream.backlog is None)


def _unread(stream: HttpStream) -> bytes:
    """What it has said of a request that is not whole, as if no part of it had been read."""
    if stream.request is None or stream.body is None:
        return stream.buffer
    said = stream.request.head + stream.body.take()
    stream.request = stream.body = None
    return said
