"""Echo: latency counts from the schedule, whatever happens to the load generator meanwhile."""

from __future__ import annotations

import time
from typing import cast

import pytest

from hocket.bench.clients import NEVER, Clients
from hocket.bench.messages import Message, Ran
from hocket.bench.plan import SECOND, Plan
from hocket.bench.scenarios.echo import Echo
from hocket.bench.speech import Speech, read
from hocket.bench.target import Target
from hocket.protocol.websocket import Receiver

LOCAL = Target("http://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80, "/", "")


class FakeClients:
    """Takes everything that is sent, and gives it back when it is asked to."""

    is_settled = True

    def __init__(self, plan: Plan) -> None:
        self.speech = Speech(plan)
        self.live = {10: 0, 11: 1}
        self.sent: list[tuple[int, bytes]] = []

    def send(self, fd: int, frame: bytes) -> bool:
        receiver = Receiver(1 << 16)
        receiver.receive_data(frame)
        self.sent += [(fd, payload) for _, payload in receiver.events()]
        return True


class World:
    def __init__(self, rate: float) -> None:
        plan = Plan(target=LOCAL, scenario="echo", rate=rate, timeout=5)
        self.said: list[Message] = []
        self.scenario = Echo(plan, 0, self.said.append)
        self.clients = FakeClients(plan)
        self.scenario.clients = cast(Clients, self.clients)

    def answer(self) -> None:
        sent, self.clients.sent = self.clients.sent, []
        for fd, text in sent:
            self.scenario.text(fd, text)


def test_what_is_sent_late_counts_from_when_it_was_to_be_sent() -> None:
    world = World(rate=10)
    at = time.monotonic_ns() - 10 * SECOND  # nobody had time for ten seconds
    world.scenario.run(at, at + SECOND)
    assert world.scenario.due() == at
    world.scenario.act(time.monotonic_ns())
    times = [read(text) for _, text in world.clients.sent]
    assert [found[0] - at for found in times if found] == [n * SECOND // 10 for n in range(10)]
    assert [fd for fd, _ in world.clients.sent] == [11, 10] * 5
    world.answer()
    world.scenario.look()
    assert world.said == [Ran()]
    assert world.scenario.latency.at(0) >= 9_000 * 0.999
    assert world.scenario.lag.at(0) >= 9_000 * 0.999
    assert world.scenario.due() == NEVER


def test_without_a_rate_the_next_one_follows_the_answer() -> None:
    world = World(rate=0)
    now = time.monotonic_ns()
    world.scenario.run(now, now + 60 * SECOND)
    assert (world.scenario.due(), world.clients.sent) == (now, [])
    world.scenario.act(now)
    for _ in range(3):
        assert [fd for fd, _ in world.clients.sent] == [10, 11]
        world.answer()
    assert (world.scenario.sent, world.scenario.received) == (8, 6)
    assert len(world.scenario.lag) == 0


def test_it_has_not_run_before_the_last_message_was_sent() -> None:
    world = World(rate=10)
    at = time.monotonic_ns() - 2 * SECOND
    world.scenario.run(at, at + SECOND)
    world.scenario.act(at + SECOND // 2)  # this process woke late for the others
    world.answer()
    world.scenario.look()
    assert world.said == []
    world.scenario.act(time.monotonic_ns())
    world.answer()
    world.scenario.look()
    assert world.said == [Ran()]
    assert world.scenario.received == 10
    assert at + SECOND < world.scenario.report().last <= time.monotonic_ns()


def test_answers_that_nobody_asked_for_are_unexpected() -> None:
    world = World(rate=10)
    world.scenario.text(10, b"@1@1@")
    assert (world.scenario.unexpected, world.scenario.received) == (1, 0)


@pytest.mark.parametrize("rate", [0, 10])
def test_an_answer_that_comes_twice_is_one_too_many_and_nothing_follows_it(rate: float) -> None:
    world = World(rate)
    now = time.monotonic_ns()
    world.scenario.run(now, now + 60 * SECOND)
    world.scenario.act(now)
    (fd, text), *_ = world.clients.sent
    world.clients.sent = []
    for _ in range(3):
        world.scenario.text(fd, text)
    assert (world.scenario.received, world.scenario.duplicated) == (1, 2)
    assert len(world.clients.sent) == (1 if rate == 0 else 0)


def test_the_answer_to_another_client_is_not_this_ones() -> None:
    world = World(rate=0)
    now = time.monotonic_ns()
    world.scenario.run(now, now + 60 * SECOND)
    world.scenario.act(now)
    world.scenario.text(10, world.clients.sent[1][1])
    assert (world.scenario.received, world.scenario.duplicated) == (0, 1)


def test_what_was_due_and_never_sent_is_said() -> None:
    world = World(rate=10_000)
    at = time.monotonic_ns() - 7 * SECOND  # the timeout is 5 s
    world.scenario.run(at, at + SECOND)
    world.scenario.act(time.monotonic_ns())  # a turn's worth
    world.answer()
    world.scenario.look()
    assert world.said == [Ran()]
    assert (world.scenario.sent, world.scenario.report().skipped) == (64, 9_936)
    world.scenario.act(time.monotonic_ns())
    assert world.clients.sent == []


@pytest.mark.parametrize("is_answered", [True, False])
def test_it_waits_for_answers_but_not_for_ever(is_answered: bool) -> None:
    world = World(rate=10)
    late = 6 * SECOND if not is_answered else 2 * SECOND  # the timeout is 5 s
    at = time.monotonic_ns() - late - SECOND
    world.scenario.run(at, at + SECOND)
    world.scenario.act(time.monotonic_ns())
    world.scenario.look()
    assert world.said == ([] if is_answered else [Ran()])
    world.answer()
    world.scenario.look()
    assert world.said == [Ran()]


def test_a_lost_client_is_not_waited_for_and_not_chosen() -> None:
    world = World(rate=10)
    at = time.monotonic_ns() - SECOND
    world.scenario.run(at, at + SECOND)
    world.scenario.act(time.monotonic_ns())
    for fd in (10, 11):
        world.scenario.lost(fd, world.clients.live.pop(fd))
    world.scenario.look()
    assert world.said == [Ran()]
