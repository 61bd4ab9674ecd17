"""From raw runs to a page: medians with their spread, ratios, and what was not as it should be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import plots
from benchmarks.figures import Figure, figure
from benchmarks.scenario import Row, Run, Scenario, Size


@dataclass
class Report:
    """What was asked for, what came out, and the lines a reader has to know."""

    scenario: Scenario
    size: Size
    names: Mapping[str, str]  # of the columns, by key
    date: str
    machine: dict[str, str | int] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Markdown: the notes and the tables."""
        notes = "".join(f"- **{line}**\n" for line in [*self.notes, *self._disturbed()])
        rows = self.scenario.rows(self.size)
        tables = [self._figures(rows), self._ratios(rows)] if self.runs else ["No runs.\n"]
        return "\n".join(part for part in (notes, *tables) if part)

    def write(self, folder: Path) -> list[Path]:
        """Write the raw numbers, the page and the plot."""
        folder.mkdir(parents=True, exist_ok=True)
        name = self.scenario.name
        raw, page = folder / f"{name}-{self.date}.json", folder / f"{name}.md"
        plot = folder / f"{name}.svg"
        raw.write_text(json.dumps(self._raw(), indent=1) + "\n")
        draw = self.scenario.draw or plots.bars
        drawn = plots.available() and draw(self.scenario, self.size, self.names, self.runs, plot)
        page.write_text(self._page(raw.name, plot.name if drawn else ""))
        return [raw, page, *([plot] if drawn else [])]

    def _raw(self) -> dict[str, object]:
        return {
            "scenario": self.scenario.name,
            **asdict(self.size),
            "date": self.date,
            "machine": self.machine,
            "names": dict(self.names),
            "runs": self.runs,
            "notes": self.notes,
        }

    def _page(self, raw: str, plot: str) -> str:
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        says = f"{self.scenario.says}\n\n" if self.scenario.says else ""
        picture = f"![{self.scenario.title}]({plot})\n\n" if plot else ""
        return (
            f"# {self.scenario.title}\n\n{self.date}, loopback; {machine}.\n\n"
            f"{says}{self._how_large()}; raw numbers: [{raw}]({raw}).\n"
            f"A ratio is called a tie where the two spreads overlap.\n\n{picture}{self.summary()}"
        )

    def _how_large(self) -> str:
        size = self.size
        words = [
            " and ".join(f"{clients:,}" for clients in size.clients) + " clients"
            if size.clients
            else "",
            f"{size.rounds} rounds" if size.rounds else "",
            f"{size.seconds:g} seconds" if size.seconds else "",
        ]
        of = ", ".join(word for word in words if word)
        return f"Median of {size.repeats} runs (least-most)" + (f" of {of}" if of else "")

    def _disturbed(self) -> list[str]:
        lines = []
        for key, runs in self.runs.items():
            found = {number: run for number, run in enumerate(runs, 1) if run["disturbed"]}
            if found:
                other, stolen = (
                    max(r[w] for r in found.values()) for w in ("other_load", "stolen")
                )
                lines.append(
                    f"Disturbed: run {', '.join(map(str, found))} of {self.names[key]}, by up to "
                    f"{other:.2f} cores of other load and {stolen:.2f} stolen by the host."
                )
        return lines

    def _columns(self) -> list[str]:
        return [key for key in self.names if self.runs.get(key)]

    def _figures(self, rows: Mapping[str, Row]) -> str:
        columns = self._columns()
        lines = {
            row.title: [_cell(row, figure(self.runs[key], measure)) for key in columns]
            for measure, row in rows.items()
        }
        return table([self.names[key] for key in columns], lines)

    def _ratios(self, rows: Mapping[str, Row]) -> str:
        pairs = [pair for pair in self._pairs() if all(self.runs.get(key) for key in pair)]
        lines = {
            row.title: [
                _ratio(row, figure(self.runs[a], measure), figure(self.runs[b], measure))
                for a, b in pairs
            ]
            for measure, row in rows.items()
        }
        return table([f"{self.names[a]} / {self.names[b]}" for a, b in pairs], lines)

    def _pairs(self) -> Sequence[tuple[str, str]]:
        others = [key for key in self.names if key != "hocket"]
        return self.scenario.ratios or [("hocket", other) for other in others]


def table(heads: Sequence[str], lines: Mapping[str, Sequence[str]]) -> str:
    """Markdown; lines and columns without a word in them are left out."""
    shown = [at for at in range(len(heads)) if any(cells[at] for cells in lines.values())]
    if not shown:
        return ""
    head = "| | " + " | ".join(heads[at] for at in shown) + " |"
    body = [
        f"| {title} | " + " | ".join(cells[at] for at in shown) + " |"
        for title, cells in lines.items()
        if any(cells)
    ]
    return "\n".join([head, "|---" * (len(shown) + 1) + "|", *body]) + "\n"


def _cell(row: Row, value: Figure | None) -> str:
    if value is None:
        return ""
    median, least, most = (row.form.format(n) for n in (value.median, value.least, value.most))
    return median if least == most else f"{median} ({least}-{most})"


def _ratio(row: Row, value: Figure | None, base: Figure | None) -> str:
    if value is None or base is None or base.median <= row.floor:
        return ""
    ratio = f"{value.median / base.median:.2f}"
    return f"{ratio} (tie)" if value.overlaps(base) else ratio
