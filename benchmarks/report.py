"""From raw runs to a table: medians with their spread, ratios, and what was not as it should be."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Run = dict[str, Any]

PER_RUN = {"connect_cpu_us", "pss_per_client", "anonymous_per_client", "connects_per_s"}


@dataclass(frozen=True)
class Row:
    title: str
    form: str
    floor: float = (
        0.0  # ratios to less than this say nothing: the C loop keeps no memory per client
    )


ROWS = {
    "cpu_us_per_message": Row("CPU per delivered message, us", "{:.1f}"),
    "last_ms": Row("time to the last client, ms", "{:.0f}"),
    "p99_ms": Row("time to 99 % of the clients, ms", "{:.0f}"),
    "p50_ms": Row("time to half of the clients, ms", "{:.0f}"),
    "anonymous_per_client": Row("anonymous memory per client, bytes", "{:.0f}", floor=100),
    "pss_per_client": Row("PSS per client, bytes", "{:.0f}", floor=100),
    "connect_cpu_us": Row("CPU per new connection, us", "{:.0f}"),
    "connects_per_s": Row("new connections per second", "{:.0f}"),
}


@dataclass
class Report:
    """What was asked for, what came out, and the lines a reader has to know."""

    clients: int
    rounds: int
    repeats: int
    date: str
    machine: dict[str, str | int]
    names: dict[str, str]  # of the peers, by key
    runs: dict[str, list[Run]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Markdown: the notes and the table."""
        lines = [*self.notes, *self._disturbed()]
        notes = "".join(f"- **{line}**\n" for line in lines)
        return (notes + "\n" if notes else "") + (table(self.runs, self.names) or "No runs.\n")

    def write(self, folder: Path) -> list[Path]:
        """Write the raw numbers and the page."""
        folder.mkdir(parents=True, exist_ok=True)
        raw = folder / f"broadcast-{self.date}.json"
        page = folder / "broadcast.md"
        raw.write_text(json.dumps(vars(self), indent=1) + "\n")
        page.write_text(self._page(raw.name))
        return [raw, page]

    def _page(self, raw: str) -> str:
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return (
            f"# One message to {self.clients:,} clients\n\n"
            f"{self.date}, loopback; {machine}.\n\n"
            f"Median of {self.repeats} runs of {self.rounds} rounds (least-most); "
            f"raw numbers: [{raw}]({raw}).\n"
            f"A ratio is called a tie where the two spreads overlap.\n\n{self.summary()}"
        )

    def _disturbed(self) -> list[str]:
        return [
            f"Disturbed: run {number} of {self.names[key]}, by {run['other_load']:.2f} cores of "
            f"other load and {run['stolen']:.2f} stolen by the host."
            for key, runs in self.runs.items()
            for number, run in enumerate(runs, 1)
            if run["disturbed"]
        ]


@dataclass(frozen=True)
class Figure:
    """One measure over all runs of one peer."""

    median: float
    least: float
    most: float

    def overlaps(self, other: Figure) -> bool:
        return self.least <= other.most and other.least <= self.most


def figure(runs: Sequence[Run], measure: str) -> Figure:
    """Over the runs; of a run's rounds the median counts."""
    if measure in PER_RUN:
        values = [run[measure] for run in runs]
    else:
        values = [statistics.median(shot[measure] for shot in run["rounds"]) for run in runs]
    return Figure(statistics.median(values), min(values), max(values))


def table(runs: Mapping[str, Sequence[Run]], names: Mapping[str, str]) -> str:
    """A column for each peer, and one for each ratio of a peer to one before it."""
    peers = [key for key in names if runs.get(key)]
    pairs = [(peer, base) for i, base in enumerate(peers) for peer in peers[i + 1 :]]
    pairs.sort(key=lambda pair: peers.index(pair[0]), reverse=True)
    if not peers:
        return ""
    heads = [names[key] for key in peers] + [f"{names[a]} / {names[b]}" for a, b in pairs]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for measure, row in ROWS.items():
        figures = {key: figure(runs[key], measure) for key in peers}
        cells = [_cell(row, figures[key]) for key in peers]
        cells += [_ratio(row, figures[a], figures[b]) for a, b in pairs]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: Row, value: Figure) -> str:
    median, least, most = (row.form.format(n) for n in (value.median, value.least, value.most))
    return median if least == most else f"{median} ({least}-{most})"


def _ratio(row: Row, value: Figure, base: Figure) -> str:
    if base.median <= row.floor:
        return ""
    ratio = f"{value.median / base.median:.2f}"
    return f"{ratio} (tie)" if value.overlaps(base) else ratio
