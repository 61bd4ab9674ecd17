"""A polling session is pinged and timed out at the exact time: its own timers, no wheel."""

from __future__ import annotations

import pytest

from hocket.transport.polling import AGAIN
from tests.support import head
from tests.unit.transport.station import Polled, station


def pings(client: Polled, seconds: float) -> list[float]:
    """When pings come, within some seconds in steps of 10 ms, to a client that always polls."""
    server, times = client.station, []
    end = server.loop.now + seconds
    if (
        client.connection.outbox is not None
        and getattr(client.connection.outbox, "poll", 0) is None
    ):
        assert client.poll() is None
    while server.loop.now < end - 1e-9:
        server.pass_time(0.01)
        answer = client.getter.answer()
        if answer is not None and "2" in answer.packets():
            times.append(round(server.loop.now, 2))
            assert client.poll() is None
    return times


def test_pings_come_every_interval_and_the_end_comes_at_the_timeout() -> None:
    with station(ping_interval=0.3, ping_timeout=0.2) as server:
        client = server.polling()
        assert pings(client, 0.31) == [0.3]
        client.post("3")
        assert pings(client, 0.3) == [0.6]
        server.pass_time(0.18)
        assert server.loop.now == pytest.approx(0.79)
        assert not client.connection.closed
        server.pass_time(0.01)
        assert client.connection.closed


@pytest.mark.parametrize("answers", [True, False])
def test_nobody_is_judged_while_nobody_is_read_from(answers: bool) -> None:
    with station(ping_interval=0.3, ping_timeout=0.2) as server:
        client = server.polling()
        assert pings(client, 0.31) == [0.3]
        server.engine.pause("a test", True)
        server.reactor.pause(True)
        if answers:
            assert client.post("3") is None  # which nobody has read
        for _ in range(200):
            server.pass_time(0.01)
        assert not client.connection.closed
        server.engine.pause("a test", False)
        server.reactor.pause(False)
        server.spin()
        for _ in range(30):  # it is looked at again, and not pinged again for so long
            server.pass_time(0.01)
        assert client.connection.closed is not answers


@pytest.mark.parametrize("answers", [True, False])
def test_nobody_is_judged_by_a_timer_that_is_late(answers: bool) -> None:
    """The loop was held over the whole timeout: the answer is not read yet."""
    with station(ping_interval=0.3, ping_timeout=1.0) as server:
        client = server.polling()
        assert pings(client, 0.31) == [0.3]
        if answers:
            pong = head("x", client.target, "POST", "Content-Length: 1") + b"3"
            client.poster.socket.sendall(pong)
        server.loop.now += 1.5
        server.loop.pass_time(0.0)
        server.spin()
        assert not client.connection.closed
        server.pass_time(AGAIN + 0.01)
        assert client.connection.closed is not answers


def test_an_answer_just_in_time_counts() -> None:
    with station(ping_interval=0.3, ping_timeout=0.2) as server:
        client = server.polling()
        assert pings(client, 0.49) == [0.3]
        client.post("3")
        assert pings(client, 0.2) == [0.6]
        assert not client.connection.closed


def test_the_last_poll_of_a_session_that_timed_out_is_answered() -> None:
    with station(ping_interval=0.3, ping_timeout=0.2) as server:
        client = server.polling()
        assert pings(client, 0.31) == [0.3]
        server.pass_time(0.2)
        answer = client.getter.answer()
        assert answer is not None
        assert answer.body == b"1"


def test_with_a_timeout_over_the_interval_pings_come_every_interval_too() -> None:
    with station(ping_interval=0.2, ping_timeout=0.5) as server:
        client = server.polling()
        for number in range(1, 5):
            assert pings(client, 0.2) == [round(0.2 * number, 2)]
            client.post("3")


@pytest.mark.parametrize("after", [0.1, 0.3, 0.45])
def test_each_ping_leaves_the_whole_timeout_to_answer(after: float) -> None:
    """Also the ping that comes after a late answer."""
    with station(ping_interval=0.2, ping_timeout=0.5) as server:
        client = server.polling()
        for _ in range(5):
            times: list[float] = []
            while not times:
                times = pings(client, 0.01)
                assert not client.connection.closed
            server.pass_time(after)
            assert not client.connection.closed
            client.post("3")


def test_without_any_answer_it_is_over_at_interval_and_timeout() -> None:
    with station(ping_interval=0.2, ping_timeout=0.5) as server:
        client = server.polling()
        assert pings(client, 0.69) == [0.2]
        assert not client.connection.closed
        server.pass_time(0.01)
        assert client.connection.closed


def test_nothing_is_left_of_a_closed_session() -> None:
    with station(ping_interval=0.2, ping_timeout=0.5) as server:
        client = server.polling()
        server.engine.close(client.connection, "transport close")
        assert server.loop.timers == []
