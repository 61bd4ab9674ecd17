"""The report as one HTML file that needs nothing else: tables, plots, light and dark, print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from hocket.versus import charts
from hocket.versus.aspects import Aspect
from hocket.versus.cells import TIE, Row, number, rows, shown
from hocket.versus.claims import Claim
from hocket.versus.results import Results
from hocket.versus.scenario import Scenario
from hocket.versus.summary import about, disturbances, failures, losses, remarks
from hocket.versus.table import title

CSS = Path(__file__).with_name("page.css")
HOW_TO_READ = (
    "The best of a row is green; = is a tie with the best: a difference inside the spread of the "
    "runs, under 5 %, or too small to matter. In brackets: least and most of the runs."
)
KINDS = {
    "full": "A full run",
    "quick": "A quick run: small sizes, each once. Read it as a first look",
    "partial": "Part of a run",
}


def page(
    results: Results,
    scenarios: Mapping[str, Scenario],
    aspects: Sequence[Aspect],
    claims: Sequence[Claim],
) -> str:
    """The whole document."""
    found = list(rows(results, scenarios))
    body = [
        _head(results),
        _losses([*failures(results, "hocket"), *(each.text() for each in losses(found, "hocket"))]),
        _aspects(results, aspects),
        '<h2 id="scenarios">The scenarios</h2>',
        f"<p>{HOW_TO_READ}</p>",
        *_scenarios(results, scenarios, found),
        _claims(claims),
        _remarks(results),
    ]
    return _document("\n".join(body))


def _document(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        "<title>Go, Node.js or Hocket: measured</title>\n"
        f"<style>\n{CSS.read_text()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _head(results: Results) -> str:
    links = {"losses": "Where Hocket loses", "aspects": "Head to head", "scenarios": "Scenarios"}
    links |= {"claims": "Claims and verdicts", "remarks": "What to know"}
    nav = " ".join(f'<a href="#{key}">{text}</a>' for key, text in links.items())
    return (
        "<h1>Go, Node.js or Hocket: measured on this machine</h1>\n"
        f"<p>{KINDS[results.kind]}, {escape(results.date)}, on loopback.</p>\n"
        f'<p class="about">{escape(about(results))}</p>\n<nav>{nav}</nav>'
        + "".join(f'<p class="notes">{escape(line)}</p>' for line in disturbances(results))
    )


def _losses(lost: Sequence[str]) -> str:
    lines = "".join(f"<li>{escape(each)}</li>" for each in lost)
    first = "What another does better than Hocket, by how much, the worst first:"
    if not lost:
        lines, first = "", "In nothing that this run measured; see what it left out."
    return (
        '<h2 id="losses">Where Hocket loses</h2>\n'
        f'<div class="notes"><p>{first}</p><ul>{lines}</ul></div>'
    )


def _aspects(results: Results, aspects: Sequence[Aspect]) -> str:
    keys = [key for key in ("go", "node", "hocket") if key in results.columns]
    heads = "".join(f"<th>{escape(results.columns[key])}</th>" for key in keys)
    lines = "".join(
        f"<tr><th>{escape(aspect.title)}</th>"
        + "".join(
            f'<td data-of="{escape(results.columns[key])}">{escape(aspect.text(key))}'
            f"<small>{escape(aspect.basis(key))}</small></td>"
            for key in keys
        )
        + "</tr>"
        for aspect in aspects
    )
    return (
        '<h2 id="aspects">Head to head</h2>\n<div class="wide"><table class="words"><thead><tr>'
        f"<th></th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _scenarios(
    results: Results, scenarios: Mapping[str, Scenario], found: Sequence[Row]
) -> Iterator[str]:
    for name, scenario in scenarios.items():
        mine = [row for row in found if row.scenario is scenario]
        if mine:
            yield f'<h3 id="{name}">{escape(scenario.title)}</h3>'
            yield f"<p>{escape(scenario.question)}</p>"
            yield _table(results, mine)
            yield _charts(results, mine)
            if scenario.says:
                yield f'<p class="about">{escape(scenario.says)}</p>'


def _table(results: Results, found: Sequence[Row]) -> str:
    columns = [key for key in results.columns if any(key in row.cells for row in found)]
    heads = "".join(f"<th>{escape(results.columns[key])}</th>" for key in columns)
    lines = "".join(
        f'<tr id="{row.key}"><td>{escape(title(row))}</td>'
        + "".join(_cell(row, key) for key in columns)
        + "</tr>"
        for row in found
    )
    return (
        f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _cell(row: Row, key: str) -> str:
    cell = row.cells.get(key)
    if cell is None:
        return "<td></td>"
    verdict = row.verdict(key)
    text = number(cell.median, row.measure) + (" =" if verdict == TIE else "")
    spread = shown(cell, row.measure).partition(" ")[2]
    return (
        f'<td class="{verdict}">{text}' + (f"<small>{spread}</small>" if spread else "") + "</td>"
    )


def _charts(results: Results, found: Sequence[Row]) -> str:
    if not charts.available():
        return ""
    pictures = "".join(
        f"<figure><figcaption>{escape(title(row))}</figcaption>{charts.bars(row, results.columns)}"
        "</figure>"
        for row in found
        if len(row.cells) > 1
    )
    return f'<div class="charts">{pictures}</div>' if pictures else ""


def _claims(claims: Sequence[Claim]) -> str:
    lines = "".join(
        f'<tr id="claim-{claim.number}"><td>{claim.number}. {escape(claim.claim)}</td>'
        f'<td class="verdict">{escape(claim.verdict)}</td><td>{escape(claim.finding)}'
        f"<small>{_sources(claim)}</small></td></tr>"
        for claim in claims
    )
    return (
        '<h2 id="claims">What articles claim, and what came out</h2>\n<div class="wide">'
        '<table class="words"><thead><tr><th>The claim, in our words</th><th>Verdict</th>'
        f"<th>What was found</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _sources(claim: Claim) -> str:
    cells = [f'<a href="#{key}">{escape(key)}</a>' for key in claim.cells]
    return " ".join([*cells, *(f"Source: {escape(source)}." for source in claim.sources)])


def _remarks(results: Results) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in remarks(results))
    return f'<h2 id="remarks">What to know about these figures</h2>\n<ul>{lines}</ul>'
