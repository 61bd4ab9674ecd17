"""What `hocket advise` does: gather answers and figures, and say what follows from them."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from json import dumps
from pathlib import Path

from hocket.errors import UsageError
from hocket.versus.advice import Advice, Choice, advise, needed
from hocket.versus.answers import Answers, asked, complete, from_file, rules
from hocket.versus.cells import rows
from hocket.versus.figures import Figures
from hocket.versus.platforms import PLATFORMS
from hocket.versus.results import Results, load
from hocket.versus.scenarios import SCENARIOS

HERE = Path("versus-results/versus.json")
STORED = Path(__file__).with_name("stored.json")


def consult(given: Answers, args: argparse.Namespace) -> None:
    """Raises UsageError."""
    if args.file:
        given = {**from_file(args.file), **given}
    elif not given and sys.stdin.isatty():
        given = _asked()
    answers = complete(given)
    results, which = report(args.report)
    figures = Figures(rows(results, SCENARIOS))
    advice = advise(answers, figures)
    which += lacking(figures)
    if args.json:
        print(dumps({"answers": answers, "figures": which, **asdict(advice)}, indent=1))
    else:
        print(text(answers, which, advice))


def _asked() -> Answers:
    try:
        return asked({}, input)
    except (EOFError, KeyboardInterrupt):
        raise UsageError("stopped; answers can also be given as flags, see --help") from None


def report(given: Path | None) -> tuple[Results, str]:
    """The figures to go by, and a line that says whose they are. Raises UsageError."""
    if given or HERE.exists():
        path = given or HERE
        results = load(path)
        return results, f"Figures: {path}, a {results.kind} run of {results.date}."
    results = load(STORED)
    return results, (
        f"Figures: none of this machine, so those that come with Hocket: a {results.kind} run of "
        f"{results.date} on {results.machine.get('cpu', '?')}. `hocket versus` makes your own."
    )


def lacking(figures: Figures) -> str:
    """A sentence on rules that have nothing to go by; nothing where there are none."""
    lacks = [key for key in needed() if key not in figures.rows]
    if not lacks:
        return ""
    return f" They lack {', '.join(lacks)}, so the rules that rest on these say nothing."


def text(answers: Answers, which: str, advice: Advice) -> str:
    first, *others = advice.ranking
    lines = [which, "Answers: " + ", ".join(f"{k} {_said(v)}" for k, v in answers.items()), ""]
    lines += _choice(1, first)
    for place, choice in enumerate(others, 2):
        lines += ["", *_choice(place, choice)]
    lines += ["", "What would change the first line:"]
    lines += [f"  - {change}" for change in advice.changes] or ["  - nothing that was tried"]
    return "\n".join(lines)


def _choice(place: int, choice: Choice) -> list[str]:
    lines = [f"{place}. {choice.name} ({choice.points:+.1f})"]
    parts = rules()["mix"]["parts"]
    for part, platform in choice.parts.items():
        lines.append(f"   {PLATFORMS[platform].name}: {parts[part]}")
    lines += [f"   {line}" for line in choice.talk]
    ordered = sorted(choice.reasons, key=lambda reason: -abs(reason.points))
    return lines + [f"   {reason.text()}" for reason in ordered]


def _said(answer: object) -> str:
    if isinstance(answer, list):
        return ",".join(answer)
    return f"{answer:g}" if isinstance(answer, float) else str(answer)
