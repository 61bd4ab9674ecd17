"""The conductor: leads the processes through a scenario and keeps what they say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from hocket.bench.crew import Crew, Interrupted, Member, soon
from hocket.bench.latency import Latency
from hocket.bench.messages import (
    Connect,
    Connected,
    Finish,
    Progress,
    Ran,
    Report,
    Round,
    Run,
    Send,
    Settle,
)
from hocket.bench.plan import SECOND, Plan
from hocket.bench.tally import Tally

REPORTING: Final = 20.0  # seconds that processes have for their reports
PAUSE: Final = 0.1  # seconds between two rounds, where no rate says so
SETTLING: Final = 5.0  # seconds that processes have to say what they have of a round
AHEAD: Final = SECOND // 50  # so long before a round its senders are told
AFTER: Final = 0.2  # seconds in which nothing more may come after the last round


class Show(Protocol):
    """How far it is; see progress.py."""

    def begin(self, what: str, total: float) -> None: ...
    def at(self, done: float, note: str = "") -> None: ...
    def end(self) -> None: ...


class Conductor:
    """Leads a crew. What it learns is in its attributes, also when it is interrupted.

    Args:
        plan: what is measured.
        crew: the processes, started.
        show: is told how far it is.
    """

    def __init__(self, plan: Plan, crew: Crew, show: Show) -> None:
        self.plan = plan
        self.crew = crew
        self._show = show
        self.connected: dict[int, Connected] = {}
        self.connect_seconds = 0.0
        self.rounds: list[Tally] = []
        self.latency = Latency()  # of all rounds
        self.run_seconds = 0.0
        self.reports: dict[int, Report] = {}
        self.is_interrupted = False
        self._open: list[Tally] = []  # rounds that not everybody has reported
        self._began = 0  # when what is measured now did

    def lead(self) -> None:
        """From the first connection to the last report."""
        try:
            self._connect()
            if self.crew.ready:
                SCENES[self.plan.scenario](self)
        except Interrupted:
            self.is_interrupted = True
            self.crew.is_interrupted = False  # the reports are still to come
        finally:
            self._show.end()
        self._end_rounds()
        self._finish()

    def _until_all(
        self,
        kind: type[Any],
        until: int,
        each: Callable[[Member, Any], None],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Listen until every process has said something of a kind, or until a time."""
        heard: set[int] = set()
        for member, message in self.crew.messages(until):
            if isinstance(message, Connected):
                self._is_connected(member, message)
            if isinstance(message, kind):
                heard.add(member.number)
                each(member, message)
            if is_over() or heard.issuperset(one.number for one in self.crew.there):
                return

    # Connecting

    def _connect(self) -> None:
        plan, began = self.plan, soon()
        self._began = began

        def show() -> bool:
            seconds = max(1e-9, (time.monotonic_ns() - began) / SECOND)
            failed = f", {self.crew.failed} failed" if self.crew.failed else ""
            self._show.at(self.crew.ready, f"{self.crew.ready / seconds:,.0f} a second{failed}")
            return False

        self._show.begin("connecting", plan.connections)
        self.crew.tell(Connect(began))
        tries = (plan.retries + 1) * plan.timeout + 2.0**plan.retries
        windows = 1 + plan.largest_share // plan.window_each
        until = began + int(tries * windows * SECOND)
        self._until_all(Connected, until, lambda member, message: None, show)
        self._show.end()

    def _is_connected(self, member: Member, message: Connected) -> None:
        self.connected[member.number] = message
        last = max(each.last for each in self.connected.values())
        self.connect_seconds = max(0, last - self._began) / SECOND
        member.progress = Progress(message.ready, message.failed, 0, 0, 0)

    # Rounds

    def play_rounds(self) -> None:
        plan = self.plan
        total = max(1, round(plan.rate * plan.seconds)) if plan.rate else plan.rounds
        self._show.begin("rounds", total)
        began = soon()
        for number in range(1, total + 1):
            at = began + int((number - 1) * SECOND / plan.rate) if plan.rate else soon()
            self._hear_rounds(at - AHEAD)
            if not self.crew.ready:  # all were lost
                break
            self.rounds.append(Tally(number, at))
            self._open.append(self.rounds[-1])
            self.crew.tell(Send(number, at), self._senders())
            if not plan.rate:
                self._complete(at + plan.timeout_ns)
                self._hear_rounds(soon(PAUSE))
            self._show.at(number, f"{len(self._open)} open" if self._is_open() else self._latest())
        self._complete(time.monotonic_ns() + plan.timeout_ns)
        self._hear_rounds(soon(AFTER))

    def _senders(self) -> list[Member]:
        """Who is told to send: for a broadcast one process that has somebody to say it."""
        able = [member for member in self.crew.there if member.progress.ready]
        return able[:1] if self.plan.scenario == "broadcast" else able

    def _hear_rounds(self, until: int, is_over: Callable[[], bool] = lambda: False) -> None:
        for member, message in self.crew.messages(until):
            if isinstance(message, Round) and 0 < message.number <= len(self.rounds):
                self.rounds[message.number - 1].add(member.number, message)
            if is_over():
                return

    def _end_rounds(self) -> None:
        """They are over, or will not be."""
        for each in self._open:
            each.finish(self.latency)
        self._open = []
        if self.rounds:
            self.run_seconds = self._rounds_took()

    def _rounds_took(self) -> float:
        """Seconds in which rounds were under way."""
        if self.plan.rate:
            return max(0, max(each.last for each in self.rounds) - self.rounds[0].at) / SECOND
        return sum(each.last_ms for each in self.rounds) / 1000

    def _is_open(self) -> bool:
        """Whether a round is under way: some process has clients and has not reported it."""
        wanted = {member.number for member in self.crew.there if member.progress.ready}
        still: list[Tally] = []
        for each in self._open:
            if wanted <= each.heard:
                each.finish(self.latency)
            else:
                still.append(each)
        self._open = still
        return bool(still)

    def _complete(self, until: int) -> None:
        """Wait for all of the rounds under way; then take what there is."""
        if not self._is_open():
            return
        self._hear_rounds(until, lambda: not self._is_open())
        for each in self._open:
            silent = [one for one in self.crew.there if one.number not in each.heard]
            self.crew.tell(Settle(each.number), silent)
        if self._open:
            self._hear_rounds(soon(SETTLING), lambda: not self._is_open())

    def _latest(self) -> str:
        latest = next((each for each in reversed(self.rounds) if each.last), None)
        return f"last client after {latest.last_ms:,.1f} ms" if latest else ""

    # Runs of a length

    def play_run(self) -> None:
        plan, at = self.plan, soon(0.1)
        self._began = at
        until = at + int(plan.seconds * SECOND)

        def show() -> bool:
            seconds = (time.monotonic_ns() - at) / SECOND
            if seconds > 0:
                self.run_seconds = min(seconds, plan.seconds)
                note = f"{self.crew.received / seconds:,.0f} a second"
                self._show.at(self.run_seconds, note)
            return plan.scenario == "echo" and not self.crew.ready  # all were lost

        self._show.begin("running", plan.seconds)
        self.crew.tell(Run(at, until))
        self._until_all(Ran, until + 2 * plan.timeout_ns, lambda member, message: None, show)

    def play_nothing(self) -> None:
        """A storm is over when all are in."""

    # The end

    def _finish(self) -> None:
        try:
            self.crew.tell(Finish())
            self._until_all(Report, soon(REPORTING), self._reported)
        except Interrupted:
            self.is_interrupted = True

    def _reported(self, member: Member, message: Report) -> None:
        self.reports[member.number] = message
        if message.last:  # a server that is behind answers later than the run is long
            self.run_seconds = max(self.run_seconds, (message.last - self._began) / SECOND)


SCENES: Final[dict[str, Callable[[Conductor], None]]] = {
    "broadcast": Conductor.play_rounds,
    "rooms": Conductor.play_rounds,
    "echo": Conductor.play_run,
    "churn": Conductor.play_run,
    "storm": Conductor.play_nothing,
}
