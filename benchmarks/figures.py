"""One measure over all runs of one column."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scenario import Run


@dataclass(frozen=True)
class Figure:
    """The median of the runs, and their spread."""

    median: float
    least: float
    most: float

    def overlaps(self, other: Figure) -> bool:
        return self.least <= other.most and other.least <= self.most


def figure(runs: Sequence[Run], measure: str) -> Figure | None:
    """Over the runs; of a run's rounds the median counts. None for what was not measured."""
    values = [value for run in runs if (value := _of_run(run, measure)) is not None]
    return Figure(statistics.median(values), min(values), max(values)) if values else None


def _of_run(run: Run, measure: str) -> float | None:
    if measure in run:
        return float(run[measure])
    rounds = [shot[measure] for shot in run.get("rounds", ()) if measure in shot]
    return statistics.median(rounds) if rounds else None
