"""The timing wheel, and the sessions that it pings and gives up."""

from __future__ import annotations

import pytest

from hocket.hub.connection import Connection
from hocket.hub.heartbeat import Wheel
from tests.unit.hub.fakes import Gate
from tests.unit.hub.world import World


@pytest.mark.parametrize(
    ("tick", "seconds", "ticks"),
    [(1.0, 25.0, 25), (1.0, 24.1, 25), (1.0, 0.1, 1), (0.5, 0.0, 1), (0.25, 1.0, 4)],
)
def test_a_duration_is_rounded_up_to_ticks(tick: float, seconds: float, ticks: int) -> None:
    assert Wheel[str](tick, 60.0, 0.0).ticks(seconds) == ticks


def test_each_item_is_handed_out_once_and_in_its_tick() -> None:
    wheel: Wheel[str] = Wheel(1.0, 5.0, 100.0)
    for ticks in (1, 3, 5):
        wheel.put(f"in {ticks}", ticks)
    wheel.put("too", 3)
    out = [list(wheel.advance(100.0 + second)) for second in range(12)]
    assert out == [[], ["in 1"], [], ["in 3", "too"], [], ["in 5"], [], [], [], [], [], []]


def test_a_tick_is_not_over_before_its_end() -> None:
    wheel: Wheel[str] = Wheel(1.0, 5.0, 100.0)
    wheel.put("x", 2)
    assert list(wheel.advance(101.999)) == []
    assert list(wheel.advance(102.0)) == ["x"]


def test_what_is_put_off_for_the_horizon_is_not_handed_out_sooner() -> None:
    wheel: Wheel[str] = Wheel(1.0, 5.0, 0.0)
    for start in range(20):  # wherever in the ring it begins
        assert list(wheel.advance(start * 6.0)) == []
        wheel.put("x", wheel.ticks(5.0))
        assert list(wheel.advance(start * 6.0 + 4.9)) == []
        assert list(wheel.advance(start * 6.0 + 5.0)) == ["x"]


def test_what_is_longer_than_the_horizon_is_cut_to_it() -> None:
    """It comes early, and whoever gets it looks again: it does not come in the next tick."""
    wheel: Wheel[str] = Wheel(1.0, 5.0, 0.0)
    wheel.put("x", 1_003)
    assert list(wheel.advance(4.0)) == []
    assert list(wheel.advance(8.0)) == ["x"]


def test_items_may_be_put_back_while_they_are_handed_out() -> None:
    wheel: Wheel[str] = Wheel(1.0, 5.0, 0.0)
    wheel.put("x", 1)
    seen = []
    for item in wheel.advance(4.0):
        seen.append(wheel.now)
        wheel.put(item, 2)
    assert seen == [1, 3]
    assert list(wheel.advance(5.0)) == ["x"]


def test_a_jump_of_days_hands_everything_out_and_takes_no_turn_per_tick() -> None:
    wheel: Wheel[str] = Wheel(0.01, 5.0, 0.0)
    wheel.put("soon", 1)
    wheel.put("late", 500)
    assert sorted(wheel.advance(1e12)) == ["late", "soon"]
    wheel.put("then", 1)
    assert list(wheel.advance(1e12 + 1)) == ["then"]


def test_the_clock_may_stand_still_or_go_back() -> None:
    wheel: Wheel[str] = Wheel(1.0, 5.0, 100.0)
    assert list(wheel.advance(103.0)) == []
    wheel.put("x", 1)
    assert list(wheel.advance(101.0)) == []
    assert list(wheel.advance(103.5)) == []
    assert list(wheel.advance(104.0)) == ["x"]


# Sessions


class Pinged:
    """A client whose session the wheel pings."""

    def __init__(self, interval: float, timeout: float) -> None:
        self.world = World(ping_interval=interval, ping_timeout=timeout, connect_timeout=1000.0)
        socket = self.world.connect()
        self.connection: Connection = socket.connection
        self.got = self.world.transport.taken[socket.connection.fd]
        self.world.engine.heartbeat(self.connection)

    def pings(self, until: float, step: float = 0.5) -> list[float]:
        """When pings come up to a moment, if time passes in small steps; each is not answered."""
        times = []
        while self.world.loop.now < until:
            before = len(self.got)
            self.pass_time(step)
            if len(self.got) > before:
                times.append(self.world.loop.now)
        return times

    def pass_time(self, seconds: float) -> None:
        self.world.loop.now += seconds
        self.world.engine.tick(self.world.loop.now)
        self.world.transport.uncork()

    def pong(self) -> None:
        self.world.engine.receive_text(self.connection, b"3")

    def ended(self) -> list[str]:
        return [reason for _, reason in self.world.transport.finished]


def test_a_client_is_pinged_every_interval() -> None:
    client = Pinged(25.0, 20.0)
    times = []
    for _ in range(4):
        times += client.pings(client.world.loop.now + 20.0)
        client.pong()
    assert times == [25.0, 50.0, 75.0]
    assert client.ended() == []


def test_a_client_that_does_not_answer_is_given_up_after_the_timeout() -> None:
    client = Pinged(25.0, 20.0)
    assert client.pings(45.5) == [25.0]
    assert client.ended() == []
    client.pings(46.0)
    assert client.ended() == ["ping timeout"]


def test_who_is_pinged_late_in_a_tick_has_the_whole_timeout_too() -> None:
    """Timers drift: the ping left at the end of a tick, and ticks now come at their beginning."""
    client = Pinged(25.0, 20.0)
    client.pass_time(25.9)
    assert bytes(client.got) == b"\x81\x012"
    client.pass_time(0.2)
    client.pings(45.4)
    assert client.ended() == []
    client.pong()
    client.pings(60.0)
    assert client.ended() == []


def test_an_answer_at_the_last_moment_counts() -> None:
    client = Pinged(25.0, 20.0)
    client.pings(44.5)
    client.pong()
    assert client.pings(60.0) == [50.0]
    assert client.ended() == []


def test_pongs_that_nobody_asked_for_change_nothing() -> None:
    client = Pinged(25.0, 20.0)
    for _ in range(3):
        client.pong()
    assert client.pings(44.0) == [25.0]
    client.pings(46.0)
    assert client.ended() == ["ping timeout"]


def test_with_a_timeout_over_the_interval_pings_still_come_every_interval() -> None:
    client = Pinged(2.0, 5.0)
    assert client.pings(2.0) == [2.0]
    client.pong()
    assert client.pings(4.0) == [4.0]
    assert client.pings(8.5) == []
    assert client.ended() == []
    client.pings(9.5)
    assert client.ended() == ["ping timeout"]


def test_with_a_timeout_over_the_interval_a_late_answer_counts() -> None:
    client = Pinged(2.0, 5.0)
    client.pings(6.5)
    client.pong()
    assert client.pings(7.5) == [7.5]
    assert client.pings(11.5) == []
    assert client.ended() == []


def test_a_long_hold_of_the_loop_costs_nobody_the_session_unasked() -> None:
    """The loop stood still for a minute: the client is asked first, and has its time to answer."""
    client = Pinged(25.0, 20.0)
    client.pass_time(60.0)
    assert client.ended() == []
    assert bytes(client.got) == b"\x81\x012"
    client.pong()
    client.pings(80.0)
    assert client.ended() == []


@pytest.mark.parametrize("answers", [True, False])
def test_a_hold_of_the_loop_over_a_short_timeout_costs_nobody_the_session(answers: bool) -> None:
    """The pong lies in the kernel."""
    client = Pinged(10.0, 1.0)
    client.pass_time(10.05)
    assert bytes(client.got) == b"\x81\x012"
    client.pass_time(1.2)
    assert client.ended() == []
    if answers:
        client.pong()
    client.pings(12.0, 0.1)
    assert client.ended() == ([] if answers else ["ping timeout"])


def test_a_session_from_elsewhere_is_pinged_when_it_would_have_been() -> None:
    client = Pinged(25.0, 5.0)
    client.pass_time(3.0)
    client.world.engine.heartbeat(client.connection, 7.0)
    assert client.pings(25.0) == [21.0]


def test_a_ping_from_elsewhere_must_still_be_answered() -> None:
    client = Pinged(25.0, 5.0)
    client.pass_time(3.0)
    client.connection.answered = False
    client.world.engine.heartbeat(client.connection, 2.0)
    client.pings(6.0)
    assert client.ended() == []
    client.pings(6.5)
    assert client.ended() == ["ping timeout"]


@pytest.mark.parametrize("answers", [True, False])
def test_nobody_is_judged_while_nobody_is_read_from(answers: bool) -> None:
    client = Pinged(25.0, 20.0)
    assert client.pings(30.0) == [25.0]
    client.world.engine.pause("a test", True)
    assert client.pings(90.0) == []
    assert client.ended() == []
    client.world.engine.pause("a test", False)
    if answers:
        client.pong()
    client.pings(95.0)
    assert client.ended() == ([] if answers else ["ping timeout"])


def test_who_is_not_read_from_has_its_whole_time_afterwards() -> None:
    """As many of its handlers run as may."""
    client = Pinged(25.0, 20.0)
    assert client.pings(30.0) == [25.0]
    client.connection.held = True
    assert client.pings(100.0) == []
    client.connection.held = False
    assert client.pings(104.0) == []
    assert client.ended() == []
    client.pings(130.0)
    assert client.ended() == ["ping timeout"]


def test_a_closed_connection_is_not_pinged() -> None:
    client = Pinged(25.0, 20.0)
    client.world.engine.close(client.connection, "transport close")
    assert client.pings(100.0) == []
    assert client.ended() == ["transport close"]


def test_who_joins_no_namespace_is_closed_after_connect_timeout() -> None:
    world = World(connect_timeout=45.0)
    idle, busy = world.transport.open(), world.transport.open()
    world.join(busy)
    for second in range(1, 45):
        world.engine.tick(float(second))
    assert world.transport.finished == []
    world.engine.tick(45.0)
    assert world.transport.finished == [(idle, "forced close")]
    assert not busy.closed


def test_who_is_still_in_its_connect_handler_is_not_closed_for_it() -> None:
    async def connect(socket: object) -> None:
        await Gate()

    world = World(connect_timeout=5.0)
    world.handlers.add("connect", connect)
    connection = world.transport.open()
    world.join(connection)
    world.engine.tick(10.0)
    assert not connection.closed
    for task in world.loop.tasks:
        task.coroutine.close()


def test_who_could_not_be_heard_has_joined_no_namespace_for_no_fault_of_its_own() -> None:
    world = World(connect_timeout=5.0)
    paused, held = world.transport.open(), world.transport.open()
    world.engine.pause("a test", True)
    for second in range(1, 10):
        world.engine.tick(float(second))
    world.engine.pause("a test", False)
    world.join(paused)
    world.engine.tick(20.0)  # the loop was held
    world.join(held)
    late = world.transport.open()
    for second in range(21, 30):
        world.engine.tick(float(second))
    assert world.transport.finished == [(late, "forced close")]
