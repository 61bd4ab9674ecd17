"""From runs to cells: the median with its spread, and who wins, ties or loses."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hocket.versus.platforms import PLATFORMS
from hocket.versus.results import Results
from hocket.versus.scenario import Measure, Scenario

CLOSE = 0.05  # a difference of less than this share is a tie
WIN, TIE, LOSS, LIMIT = "win", "tie", "loss", "limit"


@dataclass(frozen=True)
class Cell:
    """The median of the runs, and their spread."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Cell:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """One measure of one scenario; `key` is how other pages refer to it: `scenario.measure`."""

    scenario: Scenario
    key: str
    measure: Measure
    cells: Mapping[str, Cell]

    def best(self) -> str:
        """The platform with the best median, whoever is a limit left out."""
        sign = 1 if self.measure.better == "less" else -1
        return min(self.rivals(), key=lambda platform: sign * self.cells[platform].median)

    def rivals(self) -> dict[str, Cell]:
        return {key: cell for key, cell in self.cells.items() if not PLATFORMS[key].limit}

    def verdict(self, platform: str) -> str:
        """A platform against the best of the others."""
        if PLATFORMS[platform].limit:
            return LIMIT
        others = {key: cell for key, cell in self.rivals().items() if key != platform}
        if not others:
            return TIE
        rival = Row(self.scenario, self.key, self.measure, others).best()
        return compare(self.measure, self.cells[platform], others[rival])


def compare(measure: Measure, one: Cell, other: Cell) -> str:
    """A tie: within the spread, under 5 %, or under what means anything at all."""
    difference = abs(one.median - other.median)
    larger = max(abs(one.median), abs(other.median))
    overlap = one.least <= other.most and other.least <= one.most
    if overlap or difference < CLOSE * larger or difference < measure.least:
        return TIE
    better = one.median < other.median
    return WIN if better == (measure.better == "less") else LOSS


def rows(results: Results, scenarios: Mapping[str, Scenario]) -> Iterator[Row]:
    """Every measure that was taken, in the order of the tables."""
    for name, scenario in scenarios.items():
        runs = results.runs.get(name, {})
        for key, measure in scenario.measures.items():
            cells = {
                platform: Cell.of(values)
                for platform in results.columns
                if (values := [run[key] for run in runs.get(platform, []) if key in run])
            }
            if cells:
                yield Row(scenario, f"{name}.{key}", measure, cells)


def number(value: float, measure: Measure) -> str:
    """With the measure's digits, and more of them for what would be shown as nothing."""
    digits = measure.digits
    while digits < 4 and value and abs(value) < 10**-digits:
        digits += 1
    return f"{value:,.{digits}f}"


def shown(cell: Cell, measure: Measure) -> str:
    """The median, and the spread where there is one."""
    median, least, most = (number(x, measure) for x in (cell.median, cell.least, cell.most))
    return median if least == most else f"{median} ({least}-{most})"
