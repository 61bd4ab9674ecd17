"""Results as text: for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hocket.versus.aspects import Aspect
from hocket.versus.cells import LIMIT, LOSS, TIE, WIN, Row, rows, shown
from hocket.versus.claims import Claim
from hocket.versus.results import Results
from hocket.versus.scenario import Scenario
from hocket.versus.summary import about, failures, losses, remarks

MARKS = {WIN: "**{}**", TIE: "{} =", LOSS: "{}", LIMIT: "{}"}


def report(
    results: Results,
    scenarios: Mapping[str, Scenario],
    aspects: Sequence[Aspect],
    claims: Sequence[Claim],
) -> str:
    """The whole report as Markdown; where Hocket loses comes first."""
    standings = losses(list(rows(results, scenarios)), "hocket")
    lost = [*failures(results, "hocket"), *(each.text() for each in standings)]
    parts = [
        "# Go, Node.js or Hocket: measured", "",
        f"{results.kind.capitalize()} run, {results.date}, loopback; {about(results)}.", "",
        "## Where Hocket loses", "",
        *([f"- {each}" for each in lost] or ["In nothing that this run measured."]), "",
        "## Head to head", "",
        _aspects(results, aspects),
        "## The scenarios", "",
        "The best of a row in bold; = is a tie with the best: inside the spread, or under 5 %.", "",
        markdown(results, scenarios),
        "## What articles claim, and what came out", "",
        "| claim | verdict | what was found |\n|---|---|---|",
        *(_claim(each) for each in claims), "",
        "## What to know about these figures", "",
        *(f"- {line}" for line in remarks(results)), "",
    ]  # fmt: skip
    return "\n".join(parts)


def _claim(claim: Claim) -> str:
    rests = "; ".join([*claim.cells, *claim.sources])
    return f"| {claim.number}. {claim.claim} | {claim.verdict} | {claim.finding} ({rests}) |"


def _aspects(results: Results, aspects: Sequence[Aspect]) -> str:
    keys = [key for key in ("go", "node", "hocket") if key in results.columns]
    lines = [["", *(results.columns[key] for key in keys)], ["---"] * (len(keys) + 1)]
    lines += [
        [each.title, *(f"{each.text(k)} *{each.basis(k)}*" for k in keys)] for each in aspects
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def markdown(results: Results, scenarios: Mapping[str, Scenario]) -> str:
    """A table for each scenario; the best in bold, a tie with the best marked `=`."""
    found = list(rows(results, scenarios))
    parts = []
    for scenario in scenarios.values():
        mine = [row for row in found if row.scenario is scenario]
        if mine:
            parts += [f"### {scenario.title}", "", scenario.question, "", _table(results, mine)]
            parts += [*([scenario.says, ""] if scenario.says else [])]
    return "\n".join(parts)


def _table(results: Results, found: Sequence[Row]) -> str:
    columns = [key for key in results.columns if any(key in row.cells for row in found)]
    heads = ["", *(results.columns[key] for key in columns)]
    lines = [heads, ["---"] * len(heads)]
    lines += [[title(row), *(_marked(row, key) for key in columns)] for row in found]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def title(row: Row) -> str:
    return row.measure.title + (f", {row.measure.unit}" if row.measure.unit else "")


def _marked(row: Row, key: str) -> str:
    if key not in row.cells:
        return ""
    return MARKS[row.verdict(key)].format(shown(row.cells[key], row.measure))


def plain(results: Results, scenarios: Mapping[str, Scenario]) -> str:
    """For a terminal: columns under each other."""
    found = list(rows(results, scenarios))
    columns = [key for key in results.columns if any(key in row.cells for row in found)]
    if not found:
        return "Nothing was measured.\n"
    lines: list[list[str]] = []
    for scenario in scenarios.values():
        mine = [row for row in found if row.scenario is scenario]
        if mine:
            lines.append([scenario.title])
            lines += [[f"  {title(row)}", *(_plain(row, key) for key in columns)] for row in mine]
    heads = ["", *(results.columns[key] for key in columns)]
    return _aligned([heads, *lines]) + "\n* the best; = a tie with the best\n"


def _plain(row: Row, key: str) -> str:
    if key not in row.cells:
        return ""
    mark = {WIN: " *", TIE: " =", LOSS: "  ", LIMIT: "  "}[row.verdict(key)]
    return shown(row.cells[key], row.measure) + mark


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    count = max(map(len, lines))
    widths = [max(len(line[at]) for line in lines if len(line) > max(at, 1)) for at in range(count)]
    return "\n".join(
        "  ".join(
            word.ljust(width) if at == 0 else word.rjust(width)
            for at, (word, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    )
