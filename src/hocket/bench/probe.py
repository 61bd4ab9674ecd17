"""A look before the load: one client that goes in and asks what the scenario will ask. What would
fail 50,000 times is said once, with what helps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from hocket.bench.clients import Clients
from hocket.bench.plan import SECOND, Plan
from hocket.bench.speech import message, read
from hocket.errors import UsageError

WITHIN: Final = 10.0  # seconds
ASKED: Final = {"broadcast": "all", "rooms": "room", "echo": "echo"}  # the event of a scenario
GUIDE: Final = "docs/howto/measure.md shows the server's side of it, in 15 lines"


class Probe:
    """The one client. A clients.Listener."""

    def __init__(self, plan: Plan) -> None:
        patience = min(plan.timeout, WITHIN)
        self._plan = msgspec.structs.replace(plan, timeout=patience, retries=0)
        self._clients = Clients(self._plan, 0, self, 1)
        self._fd = -1
        self._is_answered = False
        self._is_over = False

    def ask(self) -> None:
        """Raises UsageError when the scenario cannot work."""
        try:
            self._clients.open(0)
            self._wait(lambda: self._fd >= 0, self._plan.timeout + 2)  # it is given up before
            if self._fd < 0 and not self._clients.losses:
                raise UsageError(explain(self._plan, self._clients.failures))
            event = ASKED.get(self._plan.scenario)
            if event is not None and self._fd in self._clients.live:
                self._ask(event)
            if self._is_over:
                why = "".join(self._clients.losses)
                raise UsageError(f"{self._plan.target.url}: lets a client in, and then: {why}")
            if self._fd in self._clients.live:
                self._clients.leave(self._fd)
        finally:
            self._clients.close()

    def _ask(self, event: str) -> None:
        words = (self._clients.speech.room(0),) if event == "room" else ()
        text = message(time.monotonic_ns(), 0, self._plan.size)
        self._clients.send(self._fd, self._clients.speech.event(event, text, *words))
        self._wait(lambda: self._is_answered, self._plan.timeout)
        if not self._is_answered and not self._is_over:
            what = "message" if self._plan.raw else f"event {event!r}"
            raise UsageError(
                f"the {what} that --scenario {self._plan.scenario} sends does not come back from "
                f"{self._plan.target.url}: {GUIDE}"
            )

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic_ns() + int(seconds * SECOND)
        while not is_done() and not self._is_over:
            now = time.monotonic_ns()
            if now > deadline:
                return
            self._clients.fill(now)
            self._clients.turn(SECOND // 20)

    def ready(self, fd: int, number: int, intended: int) -> None:
        self._fd = fd

    def text(self, fd: int, text: bytes) -> None:
        self._is_answered |= (read(text) or (0, -1))[1] == 0

    def lost(self, fd: int, number: int) -> None:
        self._is_over = True

    def failed(self, number: int) -> None:
        self._is_over = True


def explain(plan: Plan, failures: Counter[str]) -> str:
    """What kept clients out, and what helps."""
    url = plan.target.url
    why = failures.most_common(1)[0][0] if failures else "no answer"
    if why == "connection refused":
        return f"nothing listens at {url}: start the server first"
    if "Invalid namespace" in why:
        return (
            f"{url}: {why}: the path of the URL is the namespace, {plan.namespace}; --path says "
            "where Socket.IO is"
        )
    if why.startswith("refused by the app"):
        return f"{url}: {why}: --auth gives what its connect handler wants"
    if why.startswith("HTTP 40") and not plan.raw:
        there = f"{'https' if plan.target.tls else 'http'}://{plan.target.host}{plan.path}"
        return f"{there}: {why}: is Socket.IO there? See --path, and --raw"
    return f"{url}: {why}"
