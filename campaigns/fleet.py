"""Some thousand clients in one process with one epoll: `python -m campaigns.fleet PLAN`.

Says every half second, on a line of JSON, what they have seen (Sight). Lines on standard input
tell it what to do: `begin`, `quiet`, and at last the numbers that each stream has come to: what has
not come by then is lost.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import select
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from campaigns.wire import Client, Poller

AGAIN: Final = (0.5, 1.5)  # seconds before a client comes back, as Socket.IO's own clients wait
REPORT: Final = 0.5  # seconds
SOURCES: Final = 8  # addresses that clients come from
PROBE: Final = 0.05  # seconds between two messages to the probes
STAY: Final = 1.0  # seconds that one stays who comes and goes


class Plan(msgspec.Struct):
    """What a fleet is to do. `first`: the number of its first client; `connect`: new connections a
    second; `every`: seconds between two messages to everybody; `echoes`: samples a second;
    `churn`: connections a second that come and go; `producers`: clients that shout.
    """

    host: str
    port: int
    clients: int
    first: int = 0
    pollers: int = 0
    probes: int = 0
    producers: int = 0
    connect: float = 1_000
    every: float = 1.0
    echoes: float = 50
    churn: float = 0
    slow: float = 0


class Sight(msgspec.Struct):
    """What clients have seen. Times in seconds; `lost` were in the middle of a stream, `missing` at
    its end; `sent` is how many each stream has.
    """

    joined: int = 0
    ends: int = 0
    messages: int = 0
    lost: int = 0
    missing: int = 0
    doubled: int = 0
    reordered: int = 0
    came: int = 0
    slow_done: int = 0
    longest_away: float = 0.0
    longest_silence: float = 0.0
    echoes: list[float] = []
    sent: dict[int, int] = {}


class Fleet:
    """Them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.address = plan.host, plan.port
        self.host = f"{plan.host}:{plan.port}"
        self.sight = Sight()
        self._poll = select.epoll()
        self._table: dict[int, Client] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._began: set[int] = set()
        self._lost_at: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        self._streams: dict[int, int] = {}  # by producer, the stream that it shouts in
        self._begun = itertools.count()
        self._running = False
        self.clients = [
            (Poller if number < plan.pollers else Client)(self, plan.first + number)
            for number in range(plan.clients)
        ]
        self._passing: set[Client] = set()

    def is_probe(self, number: int) -> bool:
        at = number - self.plan.first
        return self.plan.pollers <= at < self.plan.pollers + self.plan.probes

    def source(self) -> str:
        at = next(self._count)
        return f"127.{1 + self.plan.first // 20_000 % 200}.{os.getpid() % 250}.{1 + at % SOURCES}"

    # What clients call

    def watch(self, client: Client) -> None:
        self._table[client.fd] = client
        self._poll.register(client.fd, select.EPOLLIN | select.EPOLLOUT)

    def forget(self, client: Client) -> None:
        if self._table.pop(client.fd, None) is not None:
            self._poll.unregister(client.fd)
        self._began.discard(client.fd)

    def joined(self, client: Client) -> None:
        client.heard = 0.0
        if client in self._passing:
            self.sight.came += 1
            self.later(STAY, lambda: self._go(client))
            return
        self.sight.joined += 1
        since = self._lost_at.pop(client.number, None)
        if since is not None:
            self.sight.longest_away = max(self.sight.longest_away, time.monotonic() - since)
        at = client.number - self.plan.first
        if self._running and self._is_producer(at):
            self._begin_stream(client)

    def _go(self, client: Client) -> None:
        self._passing.discard(client)
        client.close()

    def lost(self, client: Client, was_joined: bool) -> None:
        if client in self._passing:
            self._passing.discard(client)
            return
        if was_joined:
            self.sight.joined -= 1
            self.sight.ends += 1
            self._lost_at.setdefault(client.number, time.monotonic())
        stream = self._streams.pop(client.number, None)
        if stream is not None:  # what it had shouted last may have died with the worker
            self.sight.sent.pop(stream, None)
        client.tries += 1
        self.later(random.uniform(*AGAIN) * min(client.tries, 4), client.connect)

    def shouted(self, client: Client, data: bytes) -> None:
        _, stream, number = json.loads(data[2:])
        sight, now = self.sight, time.monotonic()
        sight.messages += 1
        if client.heard and client.is_probe:
            sight.longest_silence = max(sight.longest_silence, now - client.heard)
        client.heard = now
        before = client.last.get(stream)
        if before is not None and number != before + 1:
            if number > before:
                sight.lost += number - before - 1
            elif number == before:
                sight.doubled += 1
            else:
                sight.reordered += 1
        client.last[stream] = max(number, before if before is not None else number)

    def acked(self, client: Client, data: bytes) -> None:
        number = int(data[2 : data.index(b"[")])
        if number == 0:
            self.sight.slow_done += 1
        elif (asked := self._asked.pop(number, None)) is not None:
            self.sight.echoes.append(time.monotonic() - asked)

    # What they do

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), act))

    def every(self, seconds: float, act: Callable[[], None]) -> None:
        """On time even if one call was late."""
        due = time.monotonic() + seconds

        def again() -> None:
            nonlocal due
            act()
            due += seconds
            heapq.heappush(self._timers, (due, next(self._count), again))

        heapq.heappush(self._timers, (due, next(self._count), again))

    def _is_producer(self, at: int) -> bool:
        begin = self.plan.pollers + self.plan.probes
        return begin <= at < begin + self.plan.producers

    def begin(self) -> None:
        """All are there: shout, echo, come and go."""
        plan = self.plan
        self._running = True
        for client in self.clients:
            if client.joined and self._is_producer(client.number - plan.first):
                self._begin_stream(client)
        if plan.producers:
            turn = itertools.cycle(self._producers())
            self.every(plan.every / plan.producers, lambda: self._shout(next(turn), "everybody"))
        if plan.probes:
            self.every(PROBE, lambda: self._shout(self._prober, "probes"))
        if plan.echoes:
            self.every(1 / plan.echoes, self._echo)
        if plan.churn:
            self.every(1 / plan.churn, self._pass)
        if plan.slow and self.clients[-1].joined:
            self.clients[-1].say(f'420["slow",{plan.slow}]')

    def _producers(self) -> list[Client]:
        return [each for each in self.clients if self._is_producer(each.number - self.plan.first)]

    @property
    def _prober(self) -> Client:
        """Who shouts to the probes: the last one."""
        return self.clients[-1]

    def _begin_stream(self, client: Client) -> None:
        # Never one that there was, or this one's first messages would be late ones to some.
        stream = self._streams[client.number] = client.number * 100_000 + next(self._begun)
        self.sight.sent[stream] = 0

    def _shout(self, client: Client, room: str) -> None:
        if client.joined:
            if client.number not in self._streams:
                self._begin_stream(client)
            stream = self._streams[client.number]
            client.say(f'42["shout","{room}",{stream},{self.sight.sent[stream]}]')
            if stream in self.sight.sent:
                self.sight.sent[stream] += 1

    def _echo(self) -> None:
        client = random.choice(self.clients[self.plan.pollers :])
        if client.joined:
            number = next(self._count) + 1
            self._asked[number] = time.monotonic()
            client.say(f'42{number}["echo",{number}]')

    def _pass(self) -> None:
        """One more comes, and goes soon."""
        client = Client(self, 0)
        self._passing.add(client)
        client.connect()

    # The loop

    def run(self) -> None:
        for at, client in enumerate(self.clients):
            self.later(at / self.plan.connect, client.connect)
        self.every(REPORT, self._report)
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        while self._turn():
            pass

    def _turn(self) -> bool:
        """Whether there is another."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        pause = self._timers[0][0] - time.monotonic() if self._timers else 1.0
        for fd, events in self._poll.poll(max(0.0, pause), 512):
            if fd == sys.stdin.fileno():
                if not self._told(sys.stdin.readline()):
                    return False
            elif (client := self._table.get(fd)) is not None:
                self._serve(client, events)
        return True

    def _serve(self, client: Client, events: int) -> None:
        if events & select.EPOLLOUT and client.fd not in self._began:
            self._began.add(client.fd)
            self._poll.modify(client.fd, select.EPOLLIN)
            client.begin()
        elif events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            client.readable()

    def _told(self, line: str) -> bool:
        if line == "begin\n":
            self.begin()
        elif line == "quiet\n":  # say nothing more; what is on its way may come
            kept = [timer for timer in self._timers if timer[2].__qualname__.startswith("Client")]
            self._timers = kept
            heapq.heapify(self._timers)
            self.every(REPORT, self._report)
        elif line:
            self._close(msgspec.json.decode(line, type=dict[int, int]))
            return False
        return bool(line)

    def _close(self, sent: dict[int, int]) -> None:
        """What has not come of these streams is lost; one that a client never heard is left out: it
        may have come later than the stream's end.
        """
        for client in self.clients:
            for stream, last in client.last.items():
                self.sight.missing += max(0, sent.get(stream, 0) - 1 - last)
        self._report()

    def _report(self) -> None:
        print(msgspec.json.encode(self.sight).decode(), flush=True)
        self.sight.echoes = []


def main() -> None:
    Fleet(msgspec.json.decode(sys.argv[1], type=Plan)).run()


if __name__ == "__main__":
    main()
