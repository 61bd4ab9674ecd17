"""What all processes said of one round."""

from __future__ import annotations

from typing import Any

from hocket.bench.latency import Latency
from hocket.bench.messages import Round


class Tally:
    """Of round `number`, which was to begin at `at`. Its histogram, 188 KB, goes when it is
    finished.
    """

    def __init__(self, number: int, at: int) -> None:
        self.number = number
        self.at = at
        self.received = self.missing = self.last = 0
        self.heard: set[int] = set()
        self._latency: Latency | None = None
        self._percentiles: dict[str, float] = {}

    def add(self, process: int, of: Round) -> None:
        self.heard.add(process)
        self.received += of.received
        self.missing += of.missing
        self.last = max(self.last, of.last)
        if of.received:
            self._latency = self._latency or Latency()
            self._latency.merge(of.latency)

    def finish(self, total: Latency) -> None:
        """Everybody was heard, or will not be."""
        latency, self._latency = self._latency, None
        if latency is not None:
            self._percentiles = {"p50_ms": latency.at(50), "p99_ms": latency.at(99)}
            total.merge(latency.encoded())

    @property
    def last_ms(self) -> float:
        """Until the last client had it; 0: nobody had."""
        return max(0, self.last - self.at) / 1e6

    def summary(self) -> dict[str, Any]:
        """For the JSON output, of one that is finished."""
        counts = {"number": self.number, "received": self.received, "missing": self.missing}
        if not self.received:
            return counts
        return {**counts, **self._percentiles, "last_ms": round(self.last_ms, 3)}
