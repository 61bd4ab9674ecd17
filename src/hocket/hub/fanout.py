"""One event to many connections: encoded once, written in slices, in order.

The rules, which the property test checks against a model (tests/unit/hub/test_fanout_model.py):

1. Every large fan-out has a number; `Connection.mark` is the number up to which a connection is
   served. A fan-out passes over whoever is at or past its number.
2. Whoever writes to a connection first writes what is pending for it, in the same write (`send`).
   So order per connection always holds.
3. Joining and leaving do that too (`catch_up`). So "is in the room now" means "was in it when the
   fan-out began": a joiner gets nothing from before, a leaver all of it.
4. The oldest fan-out runs first. While others wait for the same snapshot of a room, their frames
   are joined and leave in one write. Else one member of a stride is asked whether more waits for
   it: if so, each gets all that waits for it in one write; if not, each gets this one alone, for
   1.5 us less, and what comes behind in its turn.
5. A slice ends after `SLICE` seconds (see `Pace`), and the event loop has its turn. A small
   fan-out is sent at once, up to `INLINE` members a turn.
6. Who is excepted from a fan-out is caught up and marked as served by it; so is a single socket
   that was named beside rooms.
7. Bytes that wait are counted. Over `max_pending` the producers are paused and `check_room` raises
   Overloaded, until half of it is left.
8. What is sent to a single connection is corked until the end of the turn. A corked connection has
   another outbox than None, so a slice that meets it puts its frames behind what is held.

`members` may hold closed connections: their outbox is CLOSED and their fd -1, so that a reused fd
is never written to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from hocket.errors import Overloaded
from hocket.hub.connection import Connection
from hocket.hub.cork import Cork
from hocket.hub.counts import Counts
from hocket.hub.room import Room
from hocket.protocol.engineio import WEBSOCKET, EncodedPacket
from hocket.protocol.websocket import text_frame

SLICE: Final = 0.002  # seconds of writing before the event loop has its turn
STRIDE: Final = 32  # members between two looks at the clock: 32 writes take about 0.25 ms
INLINE: Final = 64  # writes a turn that small fan-outs may make at once

Write = Callable[[int, bytes], int]


class Pace(NamedTuple):
    """`os.write`, or one like it, and how many times SLICE a slice lasts."""

    write: Write
    slices: float = 1.0


class Fanout:
    """A packet on its way: to `members`, of whom `members[:at]` are served. `rooms` are those it
    was sent to.
    """

    __slots__ = ("at", "members", "packet", "rooms", "seq")

    def __init__(
        self, seq: int, rooms: list[Room], members: list[Connection], packet: EncodedPacket
    ) -> None:
        self.seq = seq
        self.rooms = rooms
        self.members = members
        self.packet = packet
        self.at = 0


class Corked:
    """The outbox of connections that have something in the cork."""

    __slots__ = ("_cork",)

    def __init__(self, cork: Cork[Connection]) -> None:
        self._cork = cork

    def put(self, connection: Connection, packet: EncodedPacket) -> None:
        self._cork.put(connection, packet.form(connection.wire))


class FanoutQueue:
    """All fan-outs of a worker.

    Args:
        choose_pace: how to write; asked anew at each turn, because it depends on the threads there
            are.
        defer: calls a function at the next turn of the event loop.
        clock: seconds.
        max_pending: bytes that may wait before producers are paused.
        pause: called with True when they must be, with False when they may go on.
        counts: of the worker.
    """

    def __init__(
        self,
        choose_pace: Callable[[], Pace],
        defer: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        max_pending: int,
        pause: Callable[[bool], None],
        counts: Counts,
    ) -> None:
        self._choose_pace = choose_pace
        self._write, self._slices = choose_pace()
        self._defer = defer
        self._clock = clock
        self._max_pending = max_pending
        self._pause = pause
        self._counts = counts
        self._inline = INLINE
        self._scheduled = False
        self._cork: Cork[Connection] = Cork(self._write_out, self._schedule)
        self._corked = Corked(self._cork)
        self.active: deque[Fanout] = deque()
        self.seq = 0
        self.pending_bytes = 0
        self.paused = False

    # To one connection

    def send(self, connection: Connection, packet: EncodedPacket) -> None:
        """A packet to one connection, behind all that is pending for it."""
        if self.active and (pending := self._take_pending(connection)):
            self._send_all(connection, [*pending, packet])
        elif (outbox := connection.outbox) is None:
            connection.outbox = self._corked
            self._cork.put(connection, packet.form(connection.wire))
        else:
            outbox.put(connection, packet)

    def send_text(self, connection: Connection, text: bytes) -> None:
        """As `send`, what is nothing but text, without a packet if none is to be kept.

        HOT: 0.5 us of 12 (benchmarks echo).
        """
        if connection.outbox is None and connection.wire == WEBSOCKET and not self.active:
            connection.outbox = self._corked
            self._cork.put_first(connection, text_frame(text))
        else:
            self.send(connection, EncodedPacket(text))

    def write(self, connection: Connection, data: bytes) -> None:
        """Bytes as they go out, to a connection whose outbox is None; at the end of this turn."""
        connection.outbox = self._corked
        self._cork.put_first(connection, data)

    def uncork(self, connection: Connection) -> None:
        """Write now what is held for the end of this turn: it is about to close or to change."""
        self._cork.release(connection)

    def send_all(self, connection: Connection, packets: list[EncodedPacket]) -> None:
        """Several packets in one write, behind all that is pending."""
        if self.active:
            packets = [*self._take_pending(connection), *packets]
        if packets:
            self._send_all(connection, packets)

    def catch_up(self, connection: Connection) -> None:
        """Write what is pending for a connection: before it joins, leaves or changes its
        transport.
        """
        if self.active:
            self.send_all(connection, [])
        connection.mark = self.seq

    def _send_all(self, connection: Connection, packets: list[EncodedPacket]) -> None:
        if connection.outbox is None:
            forms = [packet.form(connection.wire) for packet in packets]
            self.write(connection, forms[0] if len(forms) == 1 else b"".join(forms))
            return
        for packet in packets:
            if connection.outbox is None:  # the cork was full, and what it held has been written
                self.write(connection, packet.form(connection.wire))
            else:
                connection.outbox.put(connection, packet)

    def _write_out(self, held: Iterable[tuple[Connection, bytes]]) -> None:
        """To fds: what was corked, or what is written straight to them."""
        write, counts, corked = self._write, self._counts, self._corked
        for connection, data in held:
            if connection.outbox is corked:
                connection.outbox = None
            elif connection.outbox is not None:  # it ended meanwhile
                continue
            counts.bytes_out += len(data)
            try:
                sent = write(connection.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                connection.transport.lost(connection)
                continue
            if sent != len(data):
                connection.transport.backlog(connection, data[sent:])

    def _take_pending(self, connection: Connection) -> list[EncodedPacket]:
        """What is pending for a connection, oldest first; afterwards it is up to date. O(its
        rooms), not O(fan-outs).
        """
        mark = connection.mark
        connection.mark = self.seq
        found: list[Fanout] = []
        for socket in connection.sockets:
            if socket.end is connection:
                for room in socket.all_rooms():
                    if room.pending and room.pending[-1].seq > mark:
                        found += [fanout for fanout in room.pending if fanout.seq > mark]
        if len(found) > 1:  # one to several of its rooms is found in each
            found = sorted(set(found), key=attrgetter("seq"))
        return [fanout.packet for fanout in found]

    # To many

    def check_room(self) -> None:
        """Raises Overloaded while more waits than may. Asked in the thread that wants to emit."""
        if self.paused:
            raise Overloaded(
                f"{self.pending_bytes} bytes wait to be sent: `await app.drain()` waits for room"
            )

    def emit(
        self,
        rooms: list[Room],
        singles: list[Connection],
        excluded: frozenset[Connection],
        packet: EncodedPacket,
    ) -> None:
        """A packet to every member of any of `rooms` and to `singles`, but for `excluded`; once."""
        if len(rooms) == 1 and not singles:
            members = rooms[0].snapshot()
        else:
            members = list(
                dict.fromkeys(
                    [connection for room in rooms for connection in room.snapshot()] + singles
                )
            )
        self._counts.events_out += len(members)
        if excluded:
            self._counts.events_out -= _members_of(excluded, rooms, singles)
        if len(members) <= self._inline:
            self._inline -= len(members)
            self._schedule()
            for connection in members:
                if connection not in excluded:
                    self.send(connection, packet)
        elif members:
            self._enqueue(rooms, members, singles, excluded, packet)

    def _enqueue(
        self,
        rooms: list[Room],
        members: list[Connection],
        singles: list[Connection],
        excluded: frozenset[Connection],
        packet: EncodedPacket,
    ) -> None:
        for connection in excluded:
            self.catch_up(connection)
        for connection in singles:
            if connection not in excluded:
                self.send(connection, packet)
        self.seq += 1
        for connection in (*excluded, *singles):
            connection.mark = self.seq
        fanout = Fanout(self.seq, rooms, members, packet)
        for room in rooms:
            room.pending.append(fanout)
        self.active.append(fanout)
        self.pending_bytes += len(packet.form(WEBSOCKET)) * len(members)
        if self.pending_bytes > self._max_pending:
            self.paused = True
            self._pause(True)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._defer(self._turn)

    def _turn(self) -> None:
        """Once a turn of the loop while there is something to do."""
        self._scheduled = False
        self._inline = INLINE
        self._write, self._slices = self._choose_pace()
        self._cork.flush()
        try:
            if self.active:
                self.slice(self._clock() + SLICE * self._slices)
        finally:
            if self.active:
                self._schedule()

    def slice(self, deadline: float) -> None:
        """Serve members of the oldest fan-outs until the time is up."""
        while self.active:
            fanout = self.active[0]
            self._serve(fanout, deadline)
            if fanout.at == len(fanout.members):
                self._done(fanout)
            if self._clock() >= deadline:
                return

    def _serve(self, fanout: Fanout, deadline: float) -> None:
        """Serve members of the oldest fan-out, and with them those that wait for the same members,
        until the time is up.
        """
        members, size = fanout.members, len(fanout.packet.form(WEBSOCKET))
        packets: list[EncodedPacket] | None = None
        data = b""
        upto = 0
        while fanout.at < len(members):
            stride = members[fanout.at : fanout.at + STRIDE]
            fanout.at += len(stride)
            self.pending_bytes -= size * len(stride)
            waits = next((member for member in stride if member.mark < fanout.seq), None)
            if waits is not None:  # else they had it with another
                if packets is None:
                    packets, upto = self._together(fanout)
                    data = b"".join([packet.form(WEBSOCKET) for packet in packets])
                if upto == fanout.seq and _has_more(waits, fanout):
                    self._catch_up_stride(stride, fanout.seq)
                else:
                    self._write_stride(stride, fanout.seq, upto, packets, data)
            if self._clock() >= deadline:
                return

    def _together(self, fanout: Fanout) -> tuple[list[EncodedPacket], int]:
        """All packets that wait, if all of them are for the same members, else that of the oldest
        fan-out; and up to which fan-out members are served by them.
        """
        if all(other.members is fanout.members for other in self.active):
            return [other.packet for other in self.active], self.active[-1].seq
        return [fanout.packet], fanout.seq

    def _write_stride(
        self,
        stride: list[Connection],
        seq: int,
        upto: int,
        packets: list[EncodedPacket],
        data: bytes,
    ) -> None:
        """The inner loop: nothing per member but a look at its mark and the write."""
        write, size = self._write, len(data)
        others = 0  # who is not written to here
        members = iter(stride)
        while True:
            try:
                # HOT: 1.03 x the CPU of a C loop of write(2) over the same sockets, a tie
                # (benchmarks broadcast).
                for member in members:
                    if member.mark < seq:
                        member.mark = upto
                        if member.outbox is None and member.wire == WEBSOCKET:
                            if (sent := write(member.fd, data)) != size:
                                member.transport.backlog(member, data[sent:])
                            continue
                        self._send_now(member, packets)
                    others += 1
                break
            except BlockingIOError:
                member.transport.backlog(member, data)
            except OSError:
                member.transport.lost(member)
        self._counts.bytes_out += size * (len(stride) - others)

    def _catch_up_stride(self, stride: Iterable[Connection], seq: int) -> None:
        for member in stride:
            if member.mark < seq:
                self._send_now(member, self._take_pending(member))

    def _send_now(self, connection: Connection, packets: list[EncodedPacket]) -> None:
        """As `_send_all`, but for the cork: a slice takes the time that its writes take."""
        if connection.outbox is None:
            data = b"".join([packet.form(connection.wire) for packet in packets])
            self._write_out([(connection, data)])
        else:
            self._send_all(connection, packets)

    def _done(self, fanout: Fanout) -> None:
        self.active.popleft()
        for room in fanout.rooms:
            room.pending.remove(fanout)
        if self.paused and self.pending_bytes <= self._max_pending // 2:
            self.paused = False
            self._pause(False)


def _has_more(member: Connection, fanout: Fanout) -> bool:
    """Whether more than the oldest fan-out waits for a member. Asked of one of a stride: it is
    right for most of them, and whoever is served with the oldest alone gets the others in time.
    """
    return any(
        room.pending and room.pending[-1] is not fanout
        for socket in member.sockets
        if socket.end is member
        for room in socket.all_rooms()
    )


def _members_of(some: frozenset[Connection], rooms: list[Room], singles: list[Connection]) -> int:
    """How many of some are meant by an event to these rooms and singles."""
    alone = set(singles)
    return sum(
        one in alone or any(s.id in room.members for room in rooms for s in one.sockets)
        for one in some
    )
