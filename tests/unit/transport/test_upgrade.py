"""Polls, their end, and the move to WebSocket, with time and turns by hand."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from hocket.hub import fanout
from hocket.hub.socket import Socket
from hocket.hub.target import Target
from hocket.protocol.engineio import EncodedPacket
from hocket.protocol.websocket import BINARY, CLOSE, PING, PONG, TEXT
from hocket.transport.polling import AGAIN, FAREWELL, FEW, PollQueue
from hocket.transport.upgrade import NOOP_AFTER, NOOP_EVERY, UPGRADE_TIMEOUT
from tests.support import frame
from tests.unit.hub.fakes import handlers
from tests.unit.transport.station import PATH, Answer, Peer, Polled, station


def body(answer: Answer | None) -> bytes:
    assert answer is not None
    assert answer.status == 200
    return answer.body


def status(answer: Answer | None) -> int | None:
    return None if answer is None else answer.status


def probed(client: Polled) -> Peer:
    """A WebSocket that was told that it gets through."""
    peer = client.probe()
    peer.say("2probe")
    assert peer.texts() == ["3probe"]
    return peer


def moved(client: Polled) -> Peer:
    peer = probed(client)
    peer.say("5")
    return peer


# Polls


def test_a_poll_waits_until_there_is_something_and_then_is_over() -> None:
    with station() as server:
        client = server.polling()
        assert client.poll() is None
        client.socket.emit("e", 1)
        client.socket.emit("e", 2)
        assert body(client.getter.answer()) == b'42["e",1]\x1e42["e",2]'
        client.socket.emit("e", 3)
        server.spin()
        assert client.getter.answer() is None
        assert body(client.poll()) == b'42["e",3]'


def test_binary_travels_as_base64() -> None:
    heard: list[Any] = []
    with station(handlers(e=lambda socket, data: heard.append(data))) as server:
        client = server.polling()
        client.socket.emit("e", b"\x01\xff")
        assert body(client.poll()) == b'451-["e",{"_placeholder":true,"num":0}]\x1ebAf8='
        posted = client.post('451-["e",{"_placeholder":true,"num":0}]\x1ebAf8=')
        assert body(posted) == b"ok"
        assert heard == [b"\x01\xff"]


def test_a_second_poll_ends_the_session_and_both() -> None:
    reasons: list[str] = []
    registered = handlers(disconnect=lambda socket, reason: reasons.append(reason))
    with station(registered) as server:
        client = server.polling()
        assert client.poll() is None
        assert status(server.peer().get(client.target)) == 400
        assert body(client.getter.answer()) == b"1"
        assert reasons == ["transport error"]
        assert status(client.poll()) == 400


def test_a_poll_that_breaks_off_ends_the_session() -> None:
    reasons: list[str] = []
    registered = handlers(disconnect=lambda socket, reason: reasons.append(reason))
    with station(registered) as server:
        client = server.polling()
        assert client.poll() is None
        client.getter.socket.close()
        server.spin()
        assert reasons == ["transport error"]


def test_a_client_that_says_goodbye_has_its_poll_ended_with_noop() -> None:
    with station() as server:
        client = server.polling()
        assert client.poll() is None
        assert body(client.post("1")) == b"ok"
        assert body(client.getter.answer()) == b"6"
        assert server.engine.connections == {}


@pytest.mark.parametrize("bad", ["", "9", '42["e"', "b!", "42[1]\x1e", b"\xff"])
def test_a_bad_post_is_refused_and_ends_the_session(bad: str | bytes) -> None:
    with station() as server:
        client = server.polling()
        assert client.poll() is None
        assert status(client.post(bad)) == 400
        assert body(client.getter.answer()) == b"1"
        assert client.connection.closed


# What waits for a poll


def queue_of(client: Polled) -> PollQueue:
    outbox = client.connection.outbox
    assert isinstance(outbox, PollQueue)
    return outbox


def test_what_waits_counts_for_the_memory_that_it_takes() -> None:
    """Also short packets, of which a client can make the server send many: acks."""
    with station() as server:
        client = server.polling()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(1_000):
                client.socket.emit("e")
            taken = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert len(queue_of(client).packets) == 1_000
        assert taken < queue_of(client).size


def test_short_packets_that_nobody_fetches_are_over_the_bound_too() -> None:
    with station(handlers(e=lambda socket: None), max_outbox=10_000) as server:
        client = server.polling()
        for number in range(40):
            client.post(f'42{number}["e"]')
        assert not client.connection.closed
        client.post("\x1e".join(f'42{number}["e"]' for number in range(40, 60)))
        assert client.connection.closed


class Counted(EncodedPacket):
    """A packet that counts how often somebody looks at it."""

    __slots__ = ()
    looks = 0

    def form(self, wire: int) -> bytes:
        Counted.looks += 1
        return super().form(wire)


def test_an_answer_looks_at_no_more_than_it_holds_however_much_waits() -> None:
    with station() as server:
        client = server.polling()
        queue = queue_of(client)
        for number in range(1_000):
            queue.put(client.connection, Counted(b'42["e",%d]' % number))
        Counted.looks, size = 0, queue.size
        first = client.poll()
        assert first is not None
        assert first.packets() == [f'42["e",{number}]' for number in range(FEW)]
        assert Counted.looks <= 3 * FEW
        weights = [200 + len(packet) for packet in first.packets()]
        assert queue.size == size - sum(weights)
        for _ in range(1_000 // FEW):
            client.poll()
        assert (len(queue.packets), queue.size) == (0, 0)


PYTHON = ("python-requests/2.31.0", "Python/3.11 aiohttp/3.9.1")
OTHERS = (
    "Mozilla/5.0 (X11; Linux x86_64)",
    "node-XMLHttpRequest",
    "okhttp/4.12.0",
    "aiohttp/3.9.1",
)


@pytest.mark.parametrize("name", ["", *PYTHON])
def test_who_reads_only_so_many_packets_in_an_answer_gets_no_more(name: str) -> None:
    with station() as server:
        client = server.polling(*([f"User-Agent: {name}"] if name else []))
        for number in range(20):
            client.socket.emit("e", number)
        client.socket.emit("b", *[b"x"] * (FEW - 4))
        counts = [body(client.poll()).count(b"\x1e") + 1 for _ in range(3)]
        assert counts == [FEW, 4, 1 + FEW - 4]


@pytest.mark.parametrize("name", OTHERS)
def test_others_get_all_that_waits_in_one_answer(name: str) -> None:
    """A page that polls, 100 ms away, would else fall behind at over 160 events a second."""
    with station() as server:
        client = server.polling(f"User-Agent: {name}")
        for number in range(1_000):
            client.socket.emit("e", number)
        assert body(client.poll()).count(b"\x1e") == 999


def test_an_answer_has_a_bound_in_bytes_and_holds_one_packet_at_least() -> None:
    with station(max_payload=1_000) as server:
        client = server.polling("User-Agent: Mozilla/5.0")
        for size in (400, 400, 400, 4_000, 400):
            client.socket.emit("e", "x" * size)
        sizes = [len(body(client.poll())) - len('42["e",""]') for _ in range(4)]
        assert sizes == [400 + len('\x1e42["e",""]') + 400, 400, 4_000, 400]


# The last packets of a session that the server closed


def test_a_client_between_two_polls_fetches_what_was_left_once() -> None:
    with station() as server:
        client = server.polling()
        client.socket.emit("last")
        client.socket.disconnect(close=True)
        assert status(client.post('42["e"]')) == 400
        assert body(client.poll()) == b'42["last"]\x1e41'
        assert body(client.poll()) == b"1"
        assert status(client.poll()) == 400


def test_a_client_that_polls_gets_it_at_once_and_the_end_with_the_next_poll() -> None:
    """socket.io-client does not hear that it was disconnected if the end is in the same answer."""
    with station() as server:
        client = server.polling()
        assert client.poll() is None
        client.socket.disconnect(close=True)
        assert body(client.getter.answer()) == b"41"
        assert body(client.poll()) == b"1"
        assert status(client.poll()) == 400


@pytest.mark.parametrize("late", [False, True])
def test_a_farewell_that_nobody_fetches_is_forgotten(late: bool) -> None:
    with station() as server:
        client = server.polling()
        client.socket.disconnect(close=True)
        server.loop.pass_time(FAREWELL + (0.1 if late else -0.1))
        assert status(client.poll()) == (400 if late else 200)


def test_farewells_beyond_their_bound_say_the_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hocket.transport.polling.MOST_FAREWELLS", 2_500)
    with station() as server:
        clients = [server.polling() for _ in range(4)]
        for client in clients:
            client.socket.emit("last", "x" * 1_000)
            client.socket.disconnect(close=True)
        firsts = [body(client.poll()) for client in clients]
        assert [first[:6] for first in firsts] == [b'42["la'] * 2 + [b"1"] * 2
        assert [body(client.poll()) for client in clients[:2]] == [b"1"] * 2
        assert [status(client.poll()) for client in clients] == [400] * 4
        clients[0] = server.polling()  # there is room again
        clients[0].socket.emit("last", "x" * 1_000)
        clients[0].socket.disconnect(close=True)
        assert body(clients[0].poll())[:6] == b'42["la'


def test_a_farewell_that_is_over_the_other_way_is_none() -> None:
    """A session that the client ended, or that broke a rule, has nothing to be fetched."""
    with station() as server:
        client = server.polling()
        client.socket.emit("never fetched")
        client.post("1")
        assert status(client.poll()) == 400


# The move


def test_what_the_polls_had_not_fetched_comes_first() -> None:
    with station() as server:
        client = server.polling()
        client.socket.emit("e", 1)
        peer = probed(client)
        client.socket.emit("e", 2)
        peer.say("5")
        client.socket.emit("e", 3)
        assert peer.texts() == ['42["e",1]', '42["e",2]', '42["e",3]']
        assert client.socket.transport == "websocket"


def test_the_move_keeps_the_order_of_a_fanout_that_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "INLINE", 0)
    monkeypatch.setattr(fanout, "STRIDE", 1)
    monkeypatch.setattr(fanout, "SLICE", 0.0)
    with station() as server:
        others = [server.websocket() for _ in range(3)]
        client = server.polling()
        peer = probed(client)
        server.hub.fanout._inline = 0
        client.socket.emit("e", 1)
        everyone = Target(client.socket.nsp)
        everyone.emit("e", 2)
        everyone.emit("e", 3)
        peer.socket.sendall(frame(TEXT, b"5"))
        server.loop.turn()
        assert server.hub.fanout.active
        server.reading.drain()
        assert client.socket.transport == "websocket"
        assert server.hub.fanout.active
        everyone.emit("e", 4)
        client.socket.emit("e", 5)
        assert peer.texts() == [f'42["e",{number}]' for number in range(1, 6)]
        for other, _ in others:
            assert other.texts() == ['42["e",2]', '42["e",3]', '42["e",4]']


def test_a_waiting_poll_is_ended_by_the_move() -> None:
    with station() as server:
        client = server.polling()
        peer = probed(client)
        assert client.poll() is None
        peer.say("5")
        assert body(client.getter.answer()) == b"6"
        assert status(client.poll()) == 400
        assert status(client.post('42["e"]')) == 400
        assert not client.connection.closed


def test_what_stands_behind_the_upgrade_packet_is_heard() -> None:
    heard: list[Any] = []

    def handle(socket: Socket, data: Any) -> None:
        heard.append(data)

    with station(handlers(e=handle)) as server:
        client = server.polling()
        peer = probed(client)
        attached = b'451-["e",{"_placeholder":true,"num":0}]'
        part = frame(TEXT, b'42["e",3]')
        peer.send(
            frame(TEXT, b"5")
            + frame(TEXT, b'42["e",1]')
            + frame(TEXT, attached)
            + frame(BINARY, b"two")
            + part[:5]
        )
        assert heard == [1, b"two"]
        peer.send(part[5:])
        assert heard == [1, b"two", 3]


def test_the_wheel_pings_after_the_move_and_no_timer_does() -> None:
    with station(ping_interval=1.0, ping_timeout=1.0) as server:
        client = server.polling()
        peer = moved(client)
        server.loop.pass_time(1.5)
        assert peer.texts() == []
        server.engine.tick(server.loop.now)
        assert peer.texts() == ["2"]
        peer.say("3")
        server.loop.pass_time(2.0)
        assert not client.connection.closed


def test_the_next_ping_comes_an_interval_after_the_last_whatever_carried_it() -> None:
    """The client gives up an interval and a timeout after the last one."""
    with station(ping_interval=25.0, ping_timeout=5.0) as server:
        client = server.polling()
        server.loop.pass_time(7.0)
        server.engine.tick(server.loop.now)
        peer = moved(client)
        heard: list[float] = []
        while server.loop.now < 40.0:
            server.loop.pass_time(0.5)
            server.engine.tick(server.loop.now)
            if peer.texts() == ["2"]:
                heard.append(server.loop.now)
        assert heard == [25.0]
        assert client.connection.closed


def test_a_ping_that_went_out_before_the_move_may_be_answered_after_it() -> None:
    with station(ping_interval=25.0, ping_timeout=5.0) as server:
        client = server.polling()
        server.loop.pass_time(26.0)
        server.engine.tick(server.loop.now)
        peer = moved(client)
        assert peer.texts() == ["2"]
        peer.say("3")
        while server.loop.now < 49.0:
            server.loop.pass_time(0.5)
            server.engine.tick(server.loop.now)
        assert peer.texts() == []
        server.loop.pass_time(1.5)
        server.engine.tick(server.loop.now)
        assert peer.texts() == ["2"]


def test_noop_ends_a_poll_soon_and_the_next_after_a_tenth_of_a_second() -> None:
    with station() as server:
        client = server.polling()
        probed(client)
        assert client.poll() is None
        server.pass_time(NOOP_AFTER - 0.001)
        assert client.getter.answer() is None
        server.pass_time(0.002)
        assert body(client.getter.answer()) == b"6"
        assert client.poll() is None
        server.pass_time(NOOP_EVERY - 0.002)
        assert client.getter.answer() is None
        server.pass_time(0.003)
        assert body(client.getter.answer()) == b"6"


def test_a_poll_that_has_something_to_say_gets_no_noop() -> None:
    with station() as server:
        client = server.polling()
        probed(client)
        client.socket.emit("e")
        server.pass_time(2 * NOOP_EVERY)
        assert body(client.poll()) == b'42["e"]'


# What goes wrong leaves the session where it is


def shown_out(peer: Peer) -> bool:
    return [opcode for opcode, _ in peer.frames()] == [CLOSE] and peer.ended()


@pytest.mark.parametrize(
    "packets", [["2"], ["5"], ["2probe", "2probe"], ["4hello"], ['42["e"]'], ["2probe", "3"], [""]]
)
def test_a_probe_that_says_something_else_is_shown_out(packets: list[str]) -> None:
    with station() as server:
        client = server.polling()
        peer = client.probe()
        peer.say(*packets)
        answered = [TEXT] if packets[0] == "2probe" else []
        assert [opcode for opcode, _ in peer.frames()] == [*answered, CLOSE]
        assert peer.ended()
        client.socket.emit("still here")
        assert body(client.poll()) == b'42["still here"]'
        assert moved(client).texts() == []
        assert client.socket.transport == "websocket"


def test_a_probe_that_takes_too_long_is_shown_out() -> None:
    with station(ping_interval=60.0) as server:
        client = server.polling()
        peer = probed(client)
        server.pass_time(UPGRADE_TIMEOUT - 0.02)
        assert peer.frames() == []
        server.pass_time(0.03)
        assert shown_out(peer)
        assert not client.connection.closed


@pytest.mark.parametrize("paused", [True, False], ids=["nobody is read from", "the loop was held"])
def test_a_probe_that_could_not_be_heard_is_not_shown_out_for_it(paused: bool) -> None:
    with station(ping_interval=600.0) as server:
        client, other = server.polling(), server.polling()
        peer, silent = client.probe(), other.probe()
        if paused:
            server.engine.pause("a test", True)
            server.reactor.pause(True)
        peer.socket.sendall(frame(TEXT, b"2probe"))
        if paused:
            server.loop.pass_time(3 * UPGRADE_TIMEOUT)
        else:
            server.loop.now += 3 * UPGRADE_TIMEOUT
            server.loop.pass_time(0.0)
        server.engine.pause("a test", False)
        server.reactor.pause(False)
        assert peer.texts() == ["3probe"]
        peer.say("5")
        assert client.socket.transport == "websocket"
        server.loop.pass_time(AGAIN)
        assert shown_out(silent)


def test_a_probe_may_ping_and_pong() -> None:
    """Control frames may stand anywhere (RFC 6455 section 5.5)."""
    with station() as server:
        client = server.polling()
        peer = client.probe()
        peer.send(frame(PING, b"x") + frame(PONG) + frame(TEXT, b"2probe") + frame(PING))
        assert peer.frames() == [(PONG, b"x"), (TEXT, b"3probe"), (PONG, b"")]
        peer.say("5")
        assert client.socket.transport == "websocket"


def test_a_probe_that_goes_away_leaves_nothing_behind() -> None:
    with station(ping_interval=60.0) as server:
        client = server.polling()
        peer = probed(client)
        timers = len(server.loop.timers)
        peer.socket.close()
        server.spin()
        assert len(server.loop.timers) == timers - 2
        moved(client)
        assert client.socket.transport == "websocket"


def test_only_one_probe_at_a_time_and_none_after_the_move() -> None:
    with station() as server:
        client = server.polling()
        first, second = client.probe(), client.probe()
        assert shown_out(second)
        first.say("2probe", "5")
        assert client.socket.transport == "websocket"
        late = client.probe()
        assert shown_out(late)
        client.socket.emit("e")
        assert first.texts() == ["3probe", '42["e"]']


def test_a_session_that_ends_shows_its_probe_out() -> None:
    with station() as server:
        client = server.polling()
        peer = probed(client)
        client.socket.disconnect(close=True)
        assert shown_out(peer)
        assert [body(client.poll()) for _ in range(2)] == [b"41", b"1"]


def test_a_probe_for_a_session_that_never_was_is_an_http_error() -> None:
    with station() as server:
        assert status(server.peer().upgrade(f"{PATH}websocket&sid=nobody")) == 400


def test_a_volatile_event_needs_a_poll_that_waits_or_a_socket_that_is_free() -> None:
    with station() as server:
        client = server.polling()
        client.socket.volatile.emit("dropped")
        assert client.poll() is None
        client.socket.volatile.emit("taken")
        assert body(client.getter.answer()) == b'42["taken"]'
        client.socket.volatile.emit("dropped too")
        peer = moved(client)
        client.socket.volatile.emit("written")
        assert peer.texts() == ['42["written"]']
