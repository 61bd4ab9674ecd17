"""Counting who got which round: exactly once, or it shows."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from hocket.bench.clients import Clients
from hocket.bench.latency import Latency, merged
from hocket.bench.messages import Message, Report, Round, decode, encode
from hocket.bench.plan import Plan
from hocket.bench.scenarios.echo import Schedule
from hocket.bench.scenarios.rounds import OPEN, Broadcast, Rooms
from hocket.bench.speech import Speech, message, read
from hocket.bench.tally import Tally
from hocket.bench.target import Target

LOCAL = Target("http://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80, "/", "")
SECOND = 1_000_000_000


class FakeClients:
    """Remembers what is sent."""

    is_settled = False

    def __init__(self, plan: Plan, live: dict[int, int]) -> None:
        self.speech = Speech(plan)
        self.live = live
        self.sent: list[int] = []

    def send(self, fd: int, frame: bytes) -> bool:
        self.sent.append(fd)
        return True


class World:
    """A process with three clients, fds 10 to 12."""

    def __init__(self, kind: type[Broadcast | Rooms] = Broadcast, rooms: int = 2) -> None:
        plan = Plan(target=LOCAL, rooms=rooms)
        self.said: list[Round] = []
        self.scenario = kind(plan, 0, self.hear)
        self.clients = FakeClients(plan, {10: 0, 11: 1, 12: 2})
        self.scenario.clients = cast(Clients, self.clients)

    def hear(self, said: Message) -> None:
        assert isinstance(said, Round)
        self.said.append(said)

    def arrives(self, number: int, *fds: int) -> None:
        text = b'42["all","%b"]' % message(time.monotonic_ns(), number, 100)
        for fd in fds:
            self.scenario.text(fd, text)

    def loses(self, fd: int) -> None:
        self.scenario.lost(fd, self.clients.live.pop(fd))

    @property
    def rounds(self) -> list[tuple[int, int, int]]:
        """Number, received, missing."""
        return [(each.number, each.received, each.missing) for each in self.said]


@pytest.fixture
def world() -> World:
    return World()


def test_a_round_is_over_when_all_have_it(world: World) -> None:
    world.arrives(1, 10, 11)
    assert world.rounds == []
    world.arrives(1, 12)
    world.arrives(2, 10, 11, 12)
    assert world.rounds == [(1, 3, 0), (2, 3, 0)]
    assert world.scenario.report().duplicated == 0
    assert len(merged([world.said[0].latency])) == 3


def test_twice_is_once_too_often(world: World) -> None:
    world.arrives(1, 10, 10, 11, 12, 12)
    assert world.rounds == [(1, 3, 0)]
    assert (world.scenario.received, world.scenario.duplicated) == (3, 2)


def test_out_of_order_is_seen(world: World) -> None:
    world.arrives(2, 10)
    world.arrives(1, 10)
    assert world.scenario.duplicated == 1


def test_what_is_missing_is_said_when_it_is_settled(world: World) -> None:
    world.arrives(1, 10)
    world.scenario.settle(1)
    world.scenario.settle(2)  # nothing of it came at all
    assert world.rounds == [(1, 1, 2), (2, 0, 3)]


def test_a_round_that_nobody_got_is_missing_when_later_ones_came(world: World) -> None:
    world.arrives(2, 10, 11, 12)
    world.scenario.settle(1)
    assert world.rounds == [(2, 3, 0), (1, 0, 3)]


def test_too_late_is_missing_and_said_once(world: World) -> None:
    world.arrives(1, 10)
    world.scenario.settle(1)
    world.arrives(1, 11, 12)
    world.scenario.settle(1)
    assert world.rounds == [(1, 1, 2)]
    assert (world.scenario.received, world.scenario.unexpected) == (1, 2)


def test_a_client_that_is_lost_is_not_waited_for(world: World) -> None:
    world.arrives(1, 10, 11)
    world.loses(12)
    assert world.rounds == [(1, 2, 0)]
    world.arrives(2, 10)
    world.loses(10)  # had it
    assert world.rounds == [(1, 2, 0)]
    world.arrives(2, 11)
    assert world.rounds[1:] == [(2, 2, 0)]


def test_rounds_may_overlap_but_not_without_a_bound(world: World) -> None:
    for number in range(1, OPEN + 2):
        world.arrives(number, 10)
    assert world.rounds == [(1, 1, 2)]


def test_a_round_that_has_had_its_time_is_settled(world: World) -> None:
    old = message(time.monotonic_ns() - 31 * SECOND, 1, 100)  # the timeout is 30 s
    world.scenario.text(10, b'42["all","%b"]' % old)
    world.arrives(2, 10)
    world.scenario.look()
    assert world.rounds == [(1, 1, 2)]


def test_other_messages_are_nobodys_round(world: World) -> None:
    huge = b"@-99999999999999999999@1@", b"@1@99999999999999999999@"
    for text in (b'42["news",{"a":1}]', b'42["all","@x@1@"]', b"@", b"", *huge):
        world.scenario.text(10, text)
    assert (world.scenario.unexpected, world.scenario.received) == (6, 0)


def test_a_broadcast_is_sent_by_one_when_it_is_due(world: World) -> None:
    world.scenario.send_round(1, 1000)
    assert world.scenario.due() == 1000
    world.scenario.act(999)
    assert world.clients.sent == []
    world.scenario.act(1000)
    assert world.clients.sent == [10]


def test_the_first_member_of_each_room_sends() -> None:
    world = World(Rooms, rooms=2)  # client 2 is in the room of client 0
    world.scenario.send_round(1, 0)
    world.scenario.act(1)
    assert world.clients.sent == [10, 11]


def test_a_tally_adds_up_processes() -> None:
    latencies = [Latency(), Latency()]
    latencies[0].add_all([1_000_000] * 50)
    latencies[1].add_all([9_000_000] * 50)
    tally = Tally(1, at=100)
    tally.add(0, Round(1, 50, 0, 9_000_100, latencies[0].encoded()))
    tally.add(1, Round(1, 50, 2, 5_000_000, latencies[1].encoded()))
    total = Latency()
    tally.finish(total)
    found = tally.summary()
    assert len(total) == 100
    assert total.at(100) == pytest.approx(9, rel=0.01)
    assert (found["received"], found["missing"], found["last_ms"]) == (100, 2, 9.0)
    assert found["p50_ms"] == pytest.approx(1, rel=0.01)
    assert found["p99_ms"] == pytest.approx(9, rel=0.01)
    assert Tally(2, 0).summary() == {"number": 2, "received": 0, "missing": 0}


# What they stand on


def test_messages_come_back_inside_anything() -> None:
    text = message(123, 45, 100)
    assert len(text) == 100
    for inside in (text, b'42["all","%b"]' % text, b'42["all", "%b", "a@b"]' % text):
        assert read(inside) == (123, 45)


def test_a_schedule_is_shared_evenly_and_ends() -> None:
    times = []
    for number in range(3):
        schedule = Schedule(10, number, 3)
        schedule.begin(SECOND, 2 * SECOND)
        while (at := schedule.next()) < 2 * SECOND:
            times.append(at)
            schedule.step()
    assert sorted(times) == pytest.approx([SECOND + n * SECOND // 10 for n in range(10)], abs=1)


def test_latencies_of_processes_add_up_and_keep_three_digits() -> None:
    one, two = Latency(), Latency()
    one.add_all([n * 1000 for n in range(1, 1000)])
    two.add(123_456_789_000)
    both = merged([one.encoded(), two.encoded()])
    assert len(both) == 1000
    assert both.at(50) == pytest.approx(0.5, rel=0.001)
    assert both.at(100) == pytest.approx(123_456.789, rel=0.001)
    assert both.summary()["p999_ms"] == pytest.approx(0.999, rel=0.001)
    assert Latency().summary() == {"count": 0}
    curve = both.curve()
    assert [at for at, _ in curve] == sorted(at for at, _ in curve)


def test_what_processes_say_survives_the_channel() -> None:
    said: list[Any] = [Round(1, 2, 3, 4, "x"), Report(live=1, losses={"closed": 2})]
    assert [decode(encode(each)) for each in said] == said


def test_a_room_whose_first_member_was_lost_is_spoken_for_by_the_next() -> None:
    world = World(Rooms, rooms=2)
    world.loses(10)  # of room 0, as is 12
    world.scenario.send_round(1, 0)
    world.scenario.act(1)
    assert world.clients.sent == [11, 12]
