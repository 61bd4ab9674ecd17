"""One process of the load generator: does what the conductor says."""

from __future__ import annotations

import gc
import os
import signal
import socket as sockets
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from hocket.bench.clients import Clients
from hocket.bench.messages import (
    Connect,
    Finish,
    Message,
    Progress,
    Report,
    Run,
    Send,
    Settle,
    decode,
    encode,
)
from hocket.bench.plan import SECOND, Plan
from hocket.bench.scenarios.base import Scenario
from hocket.bench.scenarios.churn import Churn
from hocket.bench.scenarios.echo import Echo
from hocket.bench.scenarios.rounds import Broadcast, Rooms
from hocket.instance.limits import open_files

NEWS: Final = SECOND // 4  # between two that tell how far it is
TOLD: Final = 4096  # bytes of the longest message to a process
SAID: Final = 1 << 20  # and from one: histograms
KINDS: Final[dict[str, type[Scenario]]] = {
    "broadcast": Broadcast, "rooms": Rooms, "echo": Echo, "churn": Churn, "storm": Scenario,
}  # fmt: skip


class Process:
    """Runs until it is told to finish, or the conductor has gone."""

    def __init__(self, plan: Plan, number: int, channel: sockets.socket) -> None:
        self._channel = channel
        self._scenario = KINDS[plan.scenario](plan, number, self.say)
        self.clients = Clients(plan, number, self._scenario, plan.window_each)
        self._scenario.clients = self.clients
        self.clients.watch(channel.fileno(), self._told)
        self._next_news = 0
        self._ended = False

    def say(self, message: Message) -> None:
        try:
            self._channel.send(encode(message))
        except OSError:
            self._ended = True

    def run(self) -> None:
        scenario, clients = self._scenario, self.clients
        while not self._ended:
            now = time.monotonic_ns()
            clients.fill(now)
            scenario.act(now)
            if now >= self._next_news:
                self._tell(now)
            due = min(self._next_news, scenario.due(), clients.due())
            clients.turn(due - time.monotonic_ns())
            scenario.look()
        clients.close()

    def _tell(self, now: int) -> None:
        self._next_news = now + NEWS
        of = self._scenario
        self.say(Progress(len(self.clients.live), of.failures, of.lost_count, of.sent, of.received))

    def _told(self) -> None:
        """All that there is to hear: who tells waits for whom it tells."""
        while not self._ended:
            try:
                data = self._channel.recv(TOLD, sockets.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self._do(decode(data) if data else None)

    def _do(self, told: Any) -> None:
        match told:
            case Connect(at):
                self._scenario.connect(at)
            case Send(number, at):
                self._scenario.send_round(number, at)
            case Settle(number):
                self._scenario.settle(number)
            case Run(at, until):
                self._scenario.run(at, until)
            case Finish():
                self._scenario.tell_connected()
                self.say(self._report())
                self._ended = True
            case None:
                self._ended = True

    def _report(self) -> Report:
        spent = os.times()
        return msgspec.structs.replace(
            self._scenario.report(),
            failures=dict(self.clients.failures),
            losses=dict(self.clients.losses),
            unsent=self.clients.unsent,
            cpu=spent.user + spent.system,
            memory=proportional_memory(),
        )


def proportional_memory() -> int:
    """Bytes that this process takes, what it shares counted by its part; 0: unknown."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def run(plan: Plan, number: int, channel: sockets.socket) -> None:
    """All that a forked process does."""
    for each in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all processes
        signal.signal(each, signal.SIG_IGN)  # the conductor decides what follows
    gc.freeze()
    open_files()
    Process(plan, number, channel).run()
