"""Latencies: HDR histograms of microseconds, which can be added up over processes.

They are safe from coordinated omission as long as each latency counts from when a message was meant
to be sent, not from when the load generator came to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hdrh.histogram import HdrHistogram

LONGEST: Final = 3_600_000_000  # microseconds
DIGITS: Final = 3  # of a latency that are right
PERCENTILES: Final = {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "p999_ms": 99.9}


class Latency:
    """A histogram. `add` takes nanoseconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, LONGEST, DIGITS)

    def add(self, nanoseconds: int) -> None:
        self._histogram.record_value(min(LONGEST, max(1, nanoseconds // 1000)))

    def add_all(self, nanoseconds: Iterable[int]) -> None:
        for each in nanoseconds:
            self.add(each)

    def encoded(self) -> str:
        """As text: HdrHistogram's own format V2, in base64."""
        text: str = self._histogram.encode().decode()
        return text

    def merge(self, encoded: str) -> None:
        """Add what another process has counted."""
        self._histogram.decode_and_add(encoded)

    def __len__(self) -> int:
        return int(self._histogram.total_count)

    def at(self, percentile: float) -> float:
        """Milliseconds."""
        return float(self._histogram.get_value_at_percentile(percentile)) / 1000

    def curve(self) -> list[tuple[float, float]]:
        """Percentiles and the milliseconds at them, closer together towards 100."""
        points = [50.0]
        while points[-1] < 99.999:
            points.append(points[-1] + (100 - points[-1]) / 4)
        return [(point, self.at(point)) for point in (0.0, 10.0, 25.0, *points, 100.0)]

    def summary(self) -> dict[str, Any]:
        """For the JSON output. Empty where nothing was counted."""
        if not len(self):
            return {"count": 0}
        return {
            "count": len(self),
            "mean_ms": round(self._histogram.get_mean_value() / 1000, 3),
            **{name: self.at(percentile) for name, percentile in PERCENTILES.items()},
            "max_ms": self.at(100),
            "histogram": self.encoded(),
        }


def merged(encoded: Iterable[str]) -> Latency:
    """The histograms of several processes as one."""
    latency = Latency()
    for each in encoded:
        latency.merge(each)
    return latency
