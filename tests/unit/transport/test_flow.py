"""No faster than handlers take it: how many run, what waits, and whose turn it is."""

from __future__ import annotations

import asyncio
import select
import socket as sockets
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from hocket.hub import fanout
from hocket.hub.handlers import Handlers
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from hocket.protocol.websocket import TEXT
from hocket.transport.poller import BATCH, DRAIN, NEWCOMERS, EpollPoller
from hocket.transport.session import PUMP
from tests.support import frame, head
from tests.unit.hub.fakes import Gate, handlers
from tests.unit.transport.station import PATH, station


class Running:
    """A handler that begins and then waits for its gate."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gates: dict[int, Gate] = {}

    def handlers(self, **more: Any) -> Handlers:
        return handlers(e=self.handle, **more)

    async def handle(self, socket: Socket, number: int) -> None:
        self.begun.append(number)
        gate = self.gates[number] = Gate()
        await gate


def events(first: int, last: int) -> list[str]:
    return [f'42["e",{number}]' for number in range(first, last)]


@pytest.mark.parametrize("together", [True, False], ids=["in one read", "frame by frame"])
def test_64_handlers_run_and_the_next_begins_when_one_ends(together: bool) -> None:
    running = Running()
    with station(running.handlers()) as server:
        peer, connection = server.websocket()
        if together:
            peer.say(*events(0, 70))
        else:
            for packet in events(0, 70):
                peer.say(packet)
        assert running.begun == list(range(64))
        assert connection.fd not in server.reading.fds
        running.gates[5].open()
        server.spin()
        assert running.begun == list(range(65))
        assert connection.fd not in server.reading.fds
        for number in range(10):
            running.gates[number].open()
        server.spin()
        assert running.begun == list(range(70))
        assert connection.fd in server.reading.fds
        assert connection.running == 60
        peer.say('42["e",70]')
        assert running.begun[-1] == 70


def test_one_client_with_all_its_handlers_running_holds_up_nobody_else() -> None:
    running = Running()
    with station(running.handlers(quick=lambda socket: "ok"), max_handlers=2) as server:
        busy, _ = server.websocket()
        other, _ = server.websocket()
        busy.say(*events(0, 9))
        other.say('427["quick"]')
        assert running.begun == [0, 1]
        assert other.texts() == ['437["ok"]']


def test_a_disconnected_client_with_waiting_events_leaves_nothing() -> None:
    running = Running()
    with station(running.handlers(), max_handlers=2) as server:
        peer, connection = server.websocket()
        peer.say(*events(0, 9))
        server.engine.close(connection, "transport close")
        for gate in running.gates.values():
            gate.open()
        server.spin()
        assert running.begun == [0, 1]
        assert (connection.running, len(server.reactor)) == (0, 0)


def test_a_client_with_many_events_lets_others_have_their_turn() -> None:
    order: list[str] = []

    def slow(socket: Socket, name: str) -> None:
        order.append(name)
        server.loop.now += PUMP / 4

    with station(handlers(e=slow)) as server:
        flood, _ = server.websocket()
        other, _ = server.websocket()
        flood.socket.sendall(frame(TEXT, b'42["e","flood"]') * 40)
        other.socket.sendall(frame(TEXT, b'42["e","other"]'))
        server.spin()
        assert order.count("flood") == 40
        assert order.index("other") <= 5


def test_a_post_is_answered_when_all_its_events_have_begun() -> None:
    running = Running()
    with station(running.handlers(), max_handlers=2) as server:
        client = server.polling()
        assert client.post("\x1e".join(events(0, 5))) is None
        assert running.begun == [0, 1]
        for number in range(5):
            running.gates[number].open()
            server.spin()
        answer = client.poster.answer()
        assert answer is not None
        assert (answer.status, answer.body) == (200, b"ok")
        assert running.begun == [0, 1, 2, 3, 4]


def test_a_second_post_before_the_first_is_answered_ends_the_session() -> None:
    running = Running()
    with station(running.handlers(), max_handlers=1) as server:
        client = server.polling()
        assert client.post("\x1e".join(events(0, 3))) is None
        second = server.peer().post(client.target, '42["e",9]')
        first = client.poster.answer()
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == (200, 400)
        assert client.connection.closed
        running.gates[0].open()
        server.spin()
        assert running.begun == [0]


def test_an_upgrade_does_not_let_more_handlers_run_than_may() -> None:
    """What the last POST still holds waits as before; it is not all begun at once."""
    running = Running()
    with station(running.handlers(), max_handlers=2) as server:
        client = server.polling()
        assert client.post("\x1e".join(events(0, 40))) is None
        peer = client.probe()
        peer.say("2probe")
        peer.say("5", *events(40, 42))
        assert running.begun == [0, 1]
        for number in range(42):
            assert client.connection.running <= 2
            running.gates[number].open()
            server.spin()
        assert running.begun == list(range(42))


# Reading stops while too much waits to be sent


def test_over_max_pending_nobody_is_read_from_until_half_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "INLINE", 0)
    monkeypatch.setattr(fanout, "STRIDE", 1)
    monkeypatch.setattr(fanout, "SLICE", 0.0)
    heard: list[int] = []
    with station(handlers(e=lambda socket, number: heard.append(number)), max_pending=50) as server:
        server.hub.fanout._inline = 0
        peer, connection = server.websocket()
        server.websocket()
        target = Target(connection.sockets[0].nsp)
        server.loop.paused.clear()
        target.emit("big", "x" * 100)
        assert server.loop.paused == [True]
        server.spin()
        assert server.loop.paused == [True, False]
        peer.say('42["e",1]')
        assert heard == [1]


class Registry:
    """As much of an event loop as an EpollPoller needs."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], None]] = {}
        self.planned: list[Callable[[], None]] = []

    def add_reader(self, fd: int, read: Callable[[], None]) -> None:
        self.readers[fd] = read

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def call_soon(self, act: Callable[[], None]) -> None:
        self.planned.append(act)

    def turn(self) -> None:
        """Call whoever has something to read, and what was planned before this turn."""
        planned, self.planned = self.planned, []
        poll = select.poll()
        for fd in self.readers:
            poll.register(fd, select.POLLIN)
        for act in (*[self.readers[fd] for fd, _ in poll.poll(0)], *planned):
            act()


class Ready:
    """Sockets that are always ready, because what has come is never read, in an EpollPoller whose
    clock moves at each event.
    """

    def __init__(self, count: int, cost: float, newcomers: int = 0) -> None:
        self.now, self.cost, self.served, self.is_read = 0.0, cost, list[int](), False
        self.loop = Registry()
        self.poller = EpollPoller(
            cast(asyncio.AbstractEventLoop, self.loop), self.serve, False, lambda: self.now
        )
        self.pairs = [sockets.socketpair() for _ in range(count)]
        self.pairs += self.new(newcomers)
        for ours, theirs in self.pairs[:count]:
            theirs.send(b"x")
            self.poller.add(ours.fileno())
        self.pause_at = 0

    def new(self, count: int) -> list[tuple[sockets.socket, sockets.socket]]:
        """New clients, whose first bytes have come."""
        pairs = [sockets.socketpair() for _ in range(count)]
        for ours, theirs in pairs:
            theirs.send(b"x")
            self.poller.add(ours.fileno(), new=True)
        return pairs

    def fds(self) -> list[int]:
        return [ours.fileno() for ours, _ in self.pairs]

    def serve(self, fds: Iterable[int]) -> None:
        for fd in fds:
            self.now += self.cost
            self.served.append(fd)
            if not self.is_read:
                self.poller.again(fd)
            if len(self.served) == self.pause_at:
                self.poller.pause(True)

    def close(self) -> None:
        self.poller.close()
        for pair in self.pairs:
            for each in pair:
                each.close()


@pytest.mark.parametrize("count", [2, 10, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 200])
def test_a_drain_ends_in_time_and_in_the_end_nobody_is_left_out(count: int) -> None:
    ready = Ready(count, DRAIN / 2)
    try:
        for _ in range(count):
            before = len(ready.served)
            ready.poller.drain()
            assert 1 <= len(ready.served) - before <= 2
        fds = [ours.fileno() for ours, _ in ready.pairs]
        assert set(ready.served) == set(fds)
        # Fair, not only not forgotten: nobody twice as often as another.
        times = [ready.served.count(fd) for fd in fds]
        assert max(times) - min(times) <= 2
    finally:
        ready.close()


def test_a_turn_of_the_loop_has_one_drain_however_long_more_is_ready_than_it_serves() -> None:
    """Fan-outs, timers and new clients have their turn then."""
    ready = Ready(3 * BATCH, DRAIN / 4)
    try:
        for turn in range(1, 100):
            ready.loop.turn()
            assert len(ready.served) <= 4 * turn
            assert len(ready.poller._ready) <= BATCH  # and nobody waits twice
        assert len(ready.served) >= 4 * 98
    finally:
        ready.close()


def test_a_drain_without_haste_serves_everybody_once() -> None:
    ready = Ready(BATCH // 2, 0.0)
    try:
        ready.poller.drain()
        assert sorted(ready.served) == sorted(ours.fileno() for ours, _ in ready.pairs)
    finally:
        ready.close()


def test_a_pause_in_the_middle_of_a_drain_holds_at_once() -> None:
    """The event that put too much in the queue is the last one served."""
    ready = Ready(10, 0.0, newcomers=2)
    try:
        ready.pause_at = 3
        ready.poller.drain()
        assert len(ready.served) == 3
        assert ready.loop.readers == {}
        ready.poller.pause(False)
        ready.poller.drain()
        assert {ours.fileno() for ours, _ in ready.pairs} == set(ready.served)
    finally:
        ready.close()


def test_what_newcomers_say_first_waits_for_what_has_come_from_others() -> None:
    ready = Ready(3, 0.0, newcomers=3)
    try:
        ready.poller.drain()
        assert set(ready.served[:3]) == set(ready.fds()[:3])
        assert set(ready.served[3:6]) == set(ready.fds()[3:])
        ready.is_read, old = True, ready.fds()
        ready.poller.drain()
        ready.served.clear()
        ready.pairs += ready.new(3)
        for fd in old:  # those of before are like the others now, and are named last
            ready.poller.again(fd)
        ready.poller.drain()
        assert set(ready.served[:6]) == set(old)
        assert set(ready.served[6:]) == set(ready.fds()) - set(old)
    finally:
        ready.close()


@pytest.mark.parametrize("cost", [DRAIN / 8, DRAIN])
def test_newcomers_are_served_beside_others_that_take_all_the_time(cost: float) -> None:
    """And the others as often as before."""
    ready = Ready(2 * BATCH, cost, newcomers=2 * BATCH)
    try:
        old, turns = set(ready.fds()[: 2 * BATCH]), 0
        while not set(ready.fds()) <= set(ready.served):
            before = len(ready.served)
            ready.loop.turn()
            turn = ready.served[before:]
            turns += 1
            assert len(turn) <= max(1, DRAIN / cost) + max(1, NEWCOMERS / cost)
            assert turns <= 8 * BATCH
            if turns <= 5:
                assert len(old.intersection(turn)) == max(1, DRAIN / cost)
                assert len(set(turn) - old) == max(1, NEWCOMERS / cost)
        times = [ready.served.count(fd) for fd in old]
        assert max(times) - min(times) <= 2
    finally:
        ready.close()


def test_a_newcomer_that_goes_before_its_turn_is_not_in_the_way_of_who_has_its_fd_next() -> None:
    ready = Ready(1, DRAIN, newcomers=2)
    try:
        for ours, theirs in ready.pairs[1:]:
            ready.poller.remove(ours.fileno())
            ours.close()
            theirs.close()
        ready.pairs[1:] = ready.new(2)
        for _ in range(3):
            ready.loop.turn()
        assert set(ready.fds()) <= set(ready.served)
    finally:
        ready.close()


def test_an_fd_of_a_newcomer_that_has_gone_may_be_somebody_elses_who_is_none() -> None:
    ready = Ready(0, 0.0, newcomers=2)
    try:
        came_back = ready.fds()[1]
        ready.poller.remove(came_back)
        ready.poller.add(came_back)
        ready.poller.drain()
        assert ready.served == ready.fds()[::-1]
    finally:
        ready.close()


def test_newcomers_that_the_time_was_not_enough_for_are_served_without_further_news() -> None:
    ready = Ready(0, DRAIN, newcomers=5)
    ready.is_read = True
    try:
        for _ in range(6):
            ready.loop.turn()
        assert sorted(ready.served) == sorted(ready.fds())
    finally:
        ready.close()


# Half a request


def test_half_a_head_is_read_once_and_refused_in_time() -> None:
    with station() as server:
        peer = server.peer()
        half = head("x", PATH + "polling")[:-2]
        peer.send(half)
        poll = select.poll()
        poll.register(peer.fd, select.POLLIN)
        assert poll.poll(0) == []
        for second in range(1, 10):
            server.http.tick(float(second))
        assert peer.read() == b""
        for second in range(10, 13):
            server.http.tick(float(second))
        answer = peer.answer()
        assert answer is not None
        assert answer.status == 408
        assert peer.ended()


def test_a_head_that_drips_is_refused_as_if_it_did_not() -> None:
    with station() as server:
        peer = server.peer()
        for second in range(1, 13):
            peer.socket.send(b"G" if second == 1 else b"E") if second < 10 else None
            server.spin()
            server.http.tick(float(second))
        answer = peer.answer()
        assert answer is not None
        assert answer.status == 408


@pytest.mark.parametrize("paused", [True, False], ids=["nobody is read from", "the loop was held"])
def test_half_a_head_whose_rest_is_not_read_yet_is_not_refused(paused: bool) -> None:
    with station() as server:
        peer, silent = server.peer(), server.peer()
        whole = head("x", PATH + "polling")
        for each in (peer, silent):
            each.send(whole[:-2])
        server.http.tick(1.0)
        peer.socket.send(whole[-2:])
        if paused:
            server.reactor.pause(True)
        for second in range(10, 30) if paused else [30]:
            server.http.tick(float(second))
        server.reactor.pause(False)
        answer = peer.answer()
        assert answer is not None
        assert answer.status == 200
        server.http.tick(31.0)
        refused = silent.answer()
        assert refused is not None
        assert refused.status == 408
