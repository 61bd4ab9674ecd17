"""What all processes said of one round."""

from __future__ import annotations

from typing import Any

from hocket.bench.latency import Latency
from hocket.bench.messages import Round


class Tally:
    """Of round `number`, which was to begin at `at`."""

    def __init__(self, number: int, at: int) -> None:
        self.number = number
        self.at = at
        self.received = self.missing = self.last = 0
        self.latency = Latency()
        self.heard: set[int] = set()

    def add(self, process: int, of: Round) -> None:
        self.heard.add(process)
        self.received += of.received
        self.missing += of.missing
        self.last = max(self.last, of.last)
        self.latency.merge(of.latency)

    @property
    def last_ms(self) -> float:
        """Until the last client had it; 0: nobody had."""
        return max(0, self.last - self.at) / 1e6

    def summary(self) -> dict[str, Any]:
        """For the JSON output."""
        counts = {"number": self.number, "received": self.received, "missing": self.missing}
        if not self.received:
            return counts
        return {
            **counts,
            "p50_ms": self.latency.at(50),
            "p99_ms": self.latency.at(99),
            "last_ms": round(self.last_ms, 3),
        }
