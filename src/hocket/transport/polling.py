"""The transport `polling`: an Engine.IO session over plain HTTP requests, and its upgrade to
WebSocket.

A client always has a GET waiting (the poll), which is answered when there is something to say, and
sends its own packets with POST.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from hocket.errors import (
    PARSE_ERROR,
    PING_TIMEOUT,
    SERVER_CLOSED,
    SHUTTING_DOWN,
    SLOW_CONSUMER,
    TOKEN_EXPIRED,
    TRANSPORT_CLOSE,
    TRANSPORT_ERROR,
    PacketError,
)
from hocket.hub.connection import Connection
from hocket.hub.engine import Engine
from hocket.protocol import engineio
from hocket.protocol.engineio import CLOSE_PACKET, NOOP_PACKET, PING_PACKET, POLLING, EncodedPacket
from hocket.protocol.http1 import Headers, Request, response
from hocket.protocol.websocket import BINARY, TEXT
from hocket.transport.reactor import Reactor
from hocket.transport.session import SessionTransport

if TYPE_CHECKING:
    from hocket.transport.stream import HttpStream
    from hocket.transport.upgrade import Probe

FAREWELL: Final = (
    30.0  # seconds in which a client may fetch the last packets of a session that the server closed
)
MOST_FAREWELLS: Final = 16 << 20  # bytes of those packets, of all such sessions together
FEW: Final = 16  # packets in an answer; python-socketio's client gives up at more
# Who reads no more than that: that client, which is told by the HTTP libraries that it stands on,
# and whoever does not say what it is. With 100 ms for a round trip it is 160 packets a second.
_READS_FEW = re.compile(rb"python-requests/|Python/\S+ aiohttp/|$")
PACKET: Final = 200  # bytes that a packet takes while it waits, besides those that are sent of it
AGAIN: Final = 1.0  # seconds until somebody is judged who could not be heard
ON_TIME: Final = 0.05  # seconds that a timer may be late without the plan being changed
_TEXT = (b"content-type", b"text/plain; charset=UTF-8")
_HTML = (
    b"content-type",
    b"text/html",
)  # as Engine.IO's server: some browsers offer to save other types
_NO_STORE = (b"cache-control", b"no-store")

Fields = list[tuple[bytes, bytes]]


class PollQueue:
    """The outbox of a polling session, and everything else that only such a session has.

    `poll` is the waiting GET, `post` the POST whose packets are being handed on, each with the CORS
    headers for its answer; `probe` the WebSocket that may take over; `timer` the session's own
    heartbeat: a polling client is timed out exactly, not by the wheel. `most`: packets that its
    client reads in one answer.
    """

    __slots__ = (
        "full", "limit", "most", "packets", "pinged", "poll", "poll_headers", "post",
        "post_headers", "probe", "scheduled", "size", "timer", "transport",
    )  # fmt: skip

    def __init__(self, transport: PollingTransport, user_agent: bytes) -> None:
        self.transport = transport
        self.most = FEW if _READS_FEW.match(user_agent) else sys.maxsize
        self.packets: list[EncodedPacket] = []
        self.size = 0
        self.poll: HttpStream | None = None
        self.poll_headers: Fields = []
        self.post: HttpStream | None = None
        self.post_headers: Fields = []
        self.probe: Probe | None = None
        self.scheduled = False
        self.full = False
        self.limit = transport.engine.limits.max_outbox
        self.timer: Any = None
        self.pinged = 0.0

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        if self.full or (packet.volatile and self.poll is None):
            return
        self.packets.append(packet)
        self.size += _weight(packet)
        if self.poll is None and len(self.packets) > 1 and self.size > self.limit:
            self.transport.overflow(connection)
        elif self.poll is not None and not self.scheduled:
            self.scheduled = True
            self.transport.answer_soon(self)

    def take(self) -> list[EncodedPacket]:
        """What waits; afterwards nothing does."""
        packets, self.packets, self.size = self.packets, [], 0
        return packets

    def payload(self) -> bytes:
        """All that waits, as a payload."""
        return engineio.SEPARATOR.join([packet.form(POLLING) for packet in self.take()])

    def portion(self) -> bytes:
        """As much of it as one answer may hold; the rest waits for the next poll."""
        room = self.transport.engine.limits.max_payload
        forms: list[bytes] = []
        count = 0
        for packet in self.packets:
            form = packet.form(POLLING)
            count += 1 + len(packet.attachments)
            room -= len(form) + len(engineio.SEPARATOR)
            if forms and (count > self.most or room < 0):
                break
            forms.append(form)
            self.size -= _weight(packet)
        del self.packets[: len(forms)]
        return engineio.SEPARATOR.join(forms)


def _weight(packet: EncodedPacket) -> int:
    """What a packet that waits counts against `max_outbox`: about the memory that it takes."""
    return PACKET * (1 + len(packet.attachments)) + len(packet.form(POLLING))


class PollingTransport(SessionTransport):
    """Sessions over long-polling.

    Args:
        engine: the sessions.
        reactor: the fds.
        answer: sends a whole response on a stream and lets it go on to its next request.
    """

    name = "polling"

    def __init__(
        self, engine: Engine, reactor: Reactor, answer: Callable[[HttpStream, bytes], None]
    ) -> None:
        super().__init__(engine, reactor)
        self._answer = answer
        self._call_later = engine.loop.call_later
        self._patience = engine.limits.ping_timeout
        self._farewells: dict[str, list[bytes]] = {}  # answers, the last one first
        self._farewell_bytes = 0

    # Requests

    def open(self, stream: HttpStream, request: Request, headers: Fields) -> None:
        """The first request of a session: the answer is the handshake."""
        connection = self.engine.open(self, POLLING, request.head, stream.address, stream.secure)
        connection.outbox = PollQueue(self, request.get(b"user-agent"))
        self._plan_ping(connection, self._clock())
        self._respond(stream, self.engine.handshake(connection), headers)

    def resume_session(
        self,
        connection: Connection,
        packets: list[EncodedPacket],
        streams: list[HttpStream | None],
        fields: list[Fields],
        ping_age: float,
    ) -> None:
        """A session of a process before this one: what waits for its client, the poll and the post
        that wait for answers, and how long ago its last ping was.
        """
        user_agent = Headers(connection.head).get("user-agent", "").encode("latin-1")
        queue = connection.outbox = PollQueue(self, user_agent)
        queue.post, queue.post_headers = streams[1], fields[1]
        pinged = self._clock() - ping_age
        if connection.answered:
            self._plan_ping(connection, pinged)
        else:
            self._plan_check(connection, pinged, self._patience)
        for packet in packets:
            queue.put(connection, packet)
        if streams[0] is not None:
            self.poll(connection, streams[0], fields[0])

    def poll(self, connection: Connection, stream: HttpStream, headers: Fields) -> bool:
        """A GET of a session. False for a second one while the first still waits: that ends the
        session.
        """
        queue = connection.outbox
        if not isinstance(queue, PollQueue):
            return False
        if queue.poll is not None:
            self.engine.close(connection, TRANSPORT_ERROR)
            return False
        queue.poll, queue.poll_headers = stream, headers
        stream.on_abort = lambda: self._aborted(connection, stream)
        if queue.packets:
            self._flush(queue)
        return True

    def post(
        self, connection: Connection, stream: HttpStream, body: bytes, headers: Fields
    ) -> bool:
        """A POST of a session. False for a second one while the first is handed on: that ends the
        session.
        """
        queue = connection.outbox
        if not isinstance(queue, PollQueue):
            return False
        if queue.post is not None:
            self.engine.close(connection, TRANSPORT_ERROR)
            return False
        queue.post, queue.post_headers = stream, headers
        try:
            connection.inbox = iter(engineio.split_payload(body, self.engine.limits.max_packets))
        except PacketError as error:
            self.engine.refuse(connection, error)
        else:
            self.pump(connection)
        return True

    def farewell(self, sid: str) -> bytes | None:
        """The next answer that is left for a session that the server closed; each is given once."""
        answers = self._farewells.get(sid)
        if answers is None:
            return None
        answer = answers.pop()
        self._farewell_bytes -= len(answer)
        if not answers:
            self._forget(sid)
        return answer

    def _forget(self, sid: str) -> None:
        self._farewell_bytes -= sum(map(len, self._farewells.pop(sid, ())))

    def _aborted(self, connection: Connection, stream: HttpStream) -> None:
        queue = connection.outbox
        if isinstance(queue, PollQueue) and queue.poll is stream:
            queue.poll = None
            self.engine.close(connection, TRANSPORT_ERROR)

    def _respond(self, stream: HttpStream, payload: bytes, headers: Fields) -> None:
        fields = [*stream.transport.date(), _TEXT, _NO_STORE, *headers]
        self._answer(stream, response(200, fields, payload))

    def take_farewells(self) -> dict[str, list[bytes]]:
        """All of them, by session: another process gives them from now on."""
        taken, self._farewells, self._farewell_bytes = self._farewells, {}, 0
        return taken

    def keep_farewell(self, sid: str, answers: list[bytes]) -> None:
        """Of a session that has ended, here or in another process. Beyond MOST_FAREWELLS only the
        last answer is kept, which says that it has ended.
        """
        self._forget(sid)
        size = sum(map(len, answers))
        if self._farewell_bytes + size > MOST_FAREWELLS:
            answers, size = answers[:1], len(answers[0])
        self._farewells[sid] = answers
        self._farewell_bytes += size
        self._call_later(FAREWELL, lambda: self._forget(sid))

    # What SessionTransport calls

    def handle(self, connection: Connection, item: tuple[bool, bytes]) -> None:
        binary, packet = item
        if binary:
            self.engine.receive_binary(connection, packet)
        else:
            self.engine.receive_text(connection, packet)

    def drained(self, connection: Connection) -> None:
        if isinstance(connection.outbox, PollQueue):
            self._answer_post(connection.outbox, 200, b"ok")

    def _answer_post(self, queue: PollQueue, status: int, text: bytes) -> None:
        stream, queue.post = queue.post, None
        if stream is not None:
            fields = [*stream.transport.date(), _HTML, _NO_STORE, *queue.post_headers]
            self._answer(stream, response(status, fields, text))

    # What the queue and the hub call

    def answer_soon(self, queue: PollQueue) -> None:
        """At the loop's next turn, so that all that is emitted in this one leaves in one answer."""
        self._defer(lambda: self._flush(queue))

    def _flush(self, queue: PollQueue, last: bool = False) -> None:
        queue.scheduled = False
        if queue.poll is not None and queue.packets:
            stream, queue.poll = queue.poll, None
            payload = queue.payload() if last else queue.portion()
            self._respond(stream, payload, queue.poll_headers)

    def overflow(self, connection: Connection) -> None:
        """The outbox stays what it is until the end, which still answers what waits; nothing more
        goes into it: there would be a hole in it.
        """
        if isinstance(connection.outbox, PollQueue):
            connection.outbox.full = True
        self.engine.close_soon(connection, SLOW_CONSUMER)

    def backlog(self, connection: Connection, rest: bytes) -> None:
        """Never called: a polling session has no fd that a fan-out writes to."""

    def finish(self, connection: Connection, reason: str) -> None:
        """Answer what waits, cancel what is planned. A poll ends with `close`, or with `noop` if it
        was the client that closed.
        """
        queue = connection.outbox
        if not isinstance(queue, PollQueue):
            return
        queue.timer.cancel()
        if queue.probe is not None:
            queue.probe.cancel()
        if reason == PARSE_ERROR:
            self._answer_post(queue, 400, b"bad packet")
        else:
            self._answer_post(queue, 200, b"ok")
        if reason == SHUTTING_DOWN:
            self._turn_away(queue)
            return
        last = NOOP_PACKET if reason == TRANSPORT_CLOSE else CLOSE_PACKET
        if reason in (SERVER_CLOSED, TOKEN_EXPIRED):
            self._say_goodbye(connection, queue)
        elif reason == PING_TIMEOUT or queue.poll is not None:
            queue.packets.append(last)
            self._flush(queue, last=True)

    def _say_goodbye(self, connection: Connection, queue: PollQueue) -> None:
        """What waits, and then, in an answer of its own, `close`: socket.io-client takes that
        before what came with it, and would not hear that it was the server that disconnected it.
        """
        answers = [form for form in (queue.payload(), CLOSE_PACKET.form(POLLING)) if form]
        if queue.poll is not None:
            stream, queue.poll = queue.poll, None
            self._respond(stream, answers.pop(0), queue.poll_headers)
        if answers:
            self.keep_farewell(connection.sid, answers[::-1])

    def _turn_away(self, queue: PollQueue) -> None:
        """The server stops. A `close` packet would make some clients stay away; an error makes all
        of them come back.
        """
        self._flush(queue, last=True)
        if queue.poll is not None:
            stream, queue.poll = queue.poll, None
            fields = [*stream.transport.date(), _TEXT, *queue.poll_headers]
            self._answer(stream, response(503, fields, b"stopping"))

    def release(self, connection: Connection, queue: PollQueue) -> Iterator[tuple[int, bytes]]:
        """The session moves to WebSocket: answer what waits. Gives what was not handed on yet, as
        frames; what waits to be sent stays in the queue.
        """
        queue.timer.cancel()
        left, connection.inbox, connection.held = connection.inbox or (), None, False
        self._answer_post(queue, 200, b"ok")
        if queue.poll is not None:
            stream, queue.poll = queue.poll, None
            self._respond(stream, NOOP_PACKET.text, queue.poll_headers)
        return ((BINARY if binary else TEXT, packet) for binary, packet in left)

    # Heartbeat

    def _at(self, connection: Connection, when: float, act: Callable[[], None]) -> None:
        queue = connection.outbox
        if isinstance(queue, PollQueue):
            queue.timer = self._call_later(max(0.0, when - self._clock()), act)

    def _plan_ping(self, connection: Connection, last: float) -> None:
        """The next one, an interval after the last."""
        when = last + self.engine.limits.ping_interval
        self._pinged(connection, last)
        self._at(connection, when, lambda: self._ping(connection, when))

    def _ping(self, connection: Connection, now: float) -> None:
        connection.answered = False
        if self._clock() - now > ON_TIME:  # who is asked late has its whole time all the same
            now = self._clock()
        self._plan_check(connection, now, min(self._patience, self.engine.limits.ping_interval))
        self.engine.fanout.send(connection, PING_PACKET)

    def _pinged(self, connection: Connection, when: float) -> None:
        if isinstance(connection.outbox, PollQueue):
            connection.outbox.pinged = when

    def _plan_check(self, connection: Connection, pinged: float, after: float) -> None:
        self._pinged(connection, pinged)
        self._at(connection, pinged + after, lambda: self._check(connection, pinged, after))

    def _check(self, connection: Connection, pinged: float, after: float) -> None:
        """`after` seconds after a ping: was it answered?"""
        if connection.answered:
            self._plan_ping(connection, pinged)
        elif after < self._patience:
            self._plan_check(connection, pinged, self._patience)
        elif connection.held or connection.inbox is not None:  # its answer may be behind others
            self._plan_check(connection, self._clock(), self._patience)
        elif self.engine.hears(self._clock() - pinged - after):
            self.engine.close(connection, PING_TIMEOUT)
        else:
            self._plan_check(connection, pinged, self._clock() - pinged + AGAIN)
